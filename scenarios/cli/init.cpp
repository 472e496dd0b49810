// kvroof init: a commented scenario to start from, one that fits.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "model/memory_fit.hpp"
#include "model/shard.hpp"
#include "scenarios/cli/resolve.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

constexpr const char* kScenario =
    R"(# {name} on {gpus} x {hardware}. kvroof schema --format md lists every key.
schema: kvroof/scenario/v1
name: my-service
model: {model}                # kvroof models; or a path to a Hugging Face config.json
hardware: {hardware}          # kvroof profiles; or a path to a profile of your own
engine: vllm                     # whose defaults and whose memory rule: vllm, sglang, trtllm
serving:
  tensor_parallel_size: {gpus}        # {why}
  max_num_seqs: 64
  # kv_cache_dtype: fp8          # halves the cache
  # quantization: fp8            # linear layers; the checkpoint's own format if not given
workload:
  input_len: 2048
  output_len: 256
  max_concurrency: 32            # closed loop; or request_rate: 8 for arrivals
# slo: {{ttft_ms: {{p99: 500}}, tpot_ms: {{p99: 50}}}}   # for kvroof simulate and plan
# cost: {{gpu_hour_usd: {usd:.2f}}}   # else the profile's
)";

/// The fewest GPUs of one host that hold the network and the load below.
int fewest_gpus(const Setup& given) {
  for (const int tensor : {1, 2, 4, 8}) {
    Setup s = given;
    s.policy.parallel.tensor = tensor;
    if (sharding_problem(s.llm, s.policy.parallel).empty() &&
        memory_fit(s.llm, s.policy, s.engine, s.machine,
                   {.requests = 32, .tokens_per_request = 2048 + 256})
            .fits)
      return tensor;
  }
  return 0;
}

void init(const std::string& model, const std::string& hardware) {
  Inputs in;
  in.flags = {{"model", model},
              {"hardware", hardware},
              {"workload.input_len", "2048"},
              {"workload.output_len", "256"},
              {"workload.max_concurrency", "32"},
              {"serving.max_num_seqs", "64"}};
  const Resolved r = resolve(in);
  const int fewest = fewest_gpus(r.setup);
  std::cout << fmt::format(kScenario, fmt::arg("name", r.setup.llm.id),
                           fmt::arg("gpus", fewest ? fewest : 8), fmt::arg("hardware", hardware),
                           fmt::arg("model", model),
                           fmt::arg("why", fewest ? "the fewest GPUs that hold it"
                                                  : "does not fit one host: see kvroof run"),
                           fmt::arg("usd", r.setup.machine.gpu_hour_usd));
}

}  // namespace

void add_init(CLI::App& app, int&) {
  struct Options {
    std::string model = "llama-3.1-8b", hardware = "h100-sxm-80gb";
  };
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("init", "print a commented scenario: kvroof init > my.yaml");
  verb->add_option("--model", o->model, "bundled id, Hugging Face name, or a config.json");
  verb->add_option("--hardware", o->hardware, "profile id");
  verb->callback([o] { init(o->model, o->hardware); });
}

}  // namespace kvroof::cli
