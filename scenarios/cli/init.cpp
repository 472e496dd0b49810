// kvroof init: a commented scenario to start from.
#include <CLI/CLI.hpp>
#include <iostream>

#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {

void add_init(CLI::App& app, int&) {
  struct Options {
    std::string model = "llama-3.1-8b", hardware = "h100-sxm-80gb";
  };
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("init", "print a commented scenario: kvroof init > my.yaml");
  verb->add_option("--model", o->model, "bundled id, Hugging Face name, or a config.json");
  verb->add_option("--hardware", o->hardware, "profile id");
  verb->callback([o] {
    std::cout
        << "# A scenario for kvroof run, explain and simulate. kvroof schema --format md lists "
           "every key.\n"
           "schema: kvroof/scenario/v1\n"
           "name: my-service\n"
        << "model: " << o->model
        << "              # kvroof models; or a path to a Hugging Face config.json\n"
        << "hardware: " << o->hardware
        << "        # kvroof profiles; or a path to a profile of your own\n"
        << R"(engine: vllm                     # whose defaults and whose memory rule: vllm, sglang, trtllm
serving:
  tensor_parallel_size: 1
  max_num_seqs: 64
  # kv_cache_dtype: fp8            # halves the cache
  # quantization: fp8              # linear layers; the checkpoint's own format if not given
workload:
  input_len: 2048
  output_len: 256
  max_concurrency: 32              # closed loop; or request_rate: 8 for arrivals
cost: {gpu_hour_usd: 2.50}
)";
  });
}

}  // namespace kvroof::cli
