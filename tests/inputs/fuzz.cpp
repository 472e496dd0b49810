// Mutation fuzzer of everything that is read: scenarios, hardware profiles, networks, config.json,
// engine command lines. An input is read or refused by a UserError whose every message begins with
// its place; a crash, another exception, a printed form that reads back differently, or more than
// one second is a failure. Input i depends on i alone, so any failure can be run again:
//   kvroof_fuzz COUNT [FIRST]
// ctest runs 5,000. Under AddressSanitizer and UBSan, 100,000:
//   export KVROOF_PRESET=asan
//   cmake --preset $KVROOF_PRESET && cmake --build --preset $KVROOF_PRESET -t kvroof_fuzz
//   build/$KVROOF_PRESET/bin/kvroof_fuzz 100000
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "model/engine_args.hpp"
#include "model/hf_config.hpp"
#include "model/llm_counts.hpp"
#include "model/plan/benchmark_file.hpp"
#include "model/profile.hpp"
#include "model/scenario.hpp"
#include "model/sweep/state.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"
#include "tests/inputs/mutation.hpp"

// Of the sanitizers' run time, where the program is built with them.
extern "C" void __sanitizer_set_death_callback(void (*)()) __attribute__((weak));

namespace {

using namespace kvroof;
namespace fs = std::filesystem;

std::uint64_t g_index = 0;  // of the input that is being read

// ---- seeds --------------------------------------------------------------------------------------

enum class Kind { scenario, hardware, llm, config, command, benchmark, state, axis };
constexpr std::string_view kKindNames[] = {"scenario",    "hardware",    "llm",
                                           "config.json", "engine args", "benchmark result",
                                           "sweep state", "sweep axis"};
struct Seed {
  Kind kind;
  std::string text;
};

/// As JSON has it: words in quotes, numbers and true, false, null bare.
Node quoted(Node n) {
  for (Node& item : n.items) item = quoted(std::move(item));
  n.quoted = n.is_scalar() && !parse_number(n.text) && n.text != "true" && n.text != "false";
  return n;
}

std::vector<Seed> load_seeds() {
  const fs::path root = KVROOF_SOURCE_DIR;
  std::vector<Seed> seeds;
  const auto add_folder = [&](Kind kind, const fs::path& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(root / folder))
      if (entry.path().extension() == ".yaml") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& f : files) seeds.push_back({kind, read_text_file(f.string())});
  };
  add_folder(Kind::scenario, "scenarios");
  add_folder(Kind::hardware, "hw_profiles");
  const std::size_t first_llm = seeds.size();
  add_folder(Kind::llm, "scenarios/llms");
  // The same networks as Hugging Face writes them.
  for (std::size_t i = first_llm, end = seeds.size(); i < end; ++i) {
    const Node file = parse_yaml(seeds[i].text, "seed");
    seeds.push_back({Kind::config, to_json(quoted(*file.find("config")))});
  }
  seeds.push_back({Kind::scenario, R"(schema: kvroof/scenario/v1
hardware: h200-sxm-141gb
model: deepseek-v3
engine: sglang
serving: {tensor_parallel_size: 8, kv_cache_dtype: fp8, mem_fraction_static: 0.8}
workload:
  input_len: {p50: 1000, p95: 4000}
  output_len: 256
  request_rate: 2.5
slo: {ttft_ms: {p99: 500}, tpot_ms: {p99: 30}}
speculative: {method: mtp, acceptance: 0.8}
scheduler: {policy: continuous, preemption: recompute, watermark: 0.01}
disaggregation: {prefill_gpus: 8, decode_gpus: 8, link: nic}
kernels:
  - {variant: flash_v2, b: 2, h_q: 32, h_kv: 8, s_q: 1024, s_kv: 1024, d_qk: 128, tile: {m: 64}}
sweep:
  serving.tensor_parallel_size: [1, 2, 4]
  workload.request_rate: {range: [1, 10, 0.5]}
)"});
  for (const char* command :
       {"vllm serve meta-llama/Llama-3.1-8B -tp 4 --max-model-len 8k --kv-cache-dtype=fp8 "
        "--no-enable-prefix-caching --speculative-config '{\"method\": \"eagle\"}' \\\n --port "
        "8000",
        "python -m sglang.launch_server --model-path \"m\" --tp 8 --dp 4 --enable-dp-attention "
        "--ep-size 8 --mem-fraction-static 0.8",
        "mpirun -n 8 trtllm-serve m --tp_size 8 --kv_cache_free_gpu_memory_fraction 0.9"})
    seeds.push_back({Kind::command, command});
  seeds.push_back(
      {Kind::benchmark, R"({"model_id": "m", "request_rate": "inf", "max_concurrency": 32,
"completed": 200, "total_input_tokens": 204800, "total_output_tokens": 51200,
"output_throughput": 1024.0, "mean_ttft_ms": 120.5, "median_itl_ms": null, "p99_tpot_ms": 16})"});
  seeds.push_back(
      {Kind::benchmark, R"({"time_to_first_token": {"unit": "ms", "avg": 120.5, "p50": 110},
"inter_token_latency": {"unit": "ms", "avg": 14.0}, "request_count": {"unit": "requests", "avg": 200.0},
"total_isl": {"avg": 1e5}, "input_config": {"endpoint": {"model_names": ["m"]}, "loadgen": {"concurrency": 8}}})"});
  const sweep::Grid grid = sweep::make_grid(
      {sweep::parse_axis("hardware=a,b"), sweep::parse_axis("workload.input_len=1..3")}, true);
  const sweep::Reduction how{.top = 3, .per = "hardware", .slo = {1e300, 1e300}};
  sweep::Kept kept(grid, how);
  sweep::Block block;
  for (sweep::Lanes& c : block.column) c.setLinSpaced(1, 2);
  block.fits.setConstant(true);
  kept.add(block, 0, 3, 3);
  seeds.push_back({Kind::state, print_state({"0123", grid, how, {3, 6, 6}}, kept)});
  for (const char* axis : {"serving.kv_cache_dtype=auto,fp8", "workload.batch=1..256x2",
                           "workload.context=128..8192+128"})
    seeds.push_back({Kind::axis, axis});
  return seeds;
}

// ---- reading ------------------------------------------------------------------------------------

constexpr const char* kName = "input";

void expect(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

void count(const LlmConfig& llm) {
  expect(total_params(llm.shape) > 0, "a network without parameters");
  expect(active_params(llm.shape) <= total_params(llm.shape), "more active than all parameters");
  expect(kv_bytes_per_token(llm.shape, Dtype::fp8) >= BytesPerToken{}, "negative K/V bytes");
}

void read(Kind kind, const std::string& text) {
  switch (kind) {
    case Kind::scenario: {
      const Scenario s = scenario_from_node(parse_yaml(text, kName), "");
      defaults_used(s);
      parse_json(to_json(resolved_inputs(s)), "printed");
      return;
    }
    case Kind::hardware: {
      const HardwareProfile p = profile_from_node(parse_yaml(text, kName));
      const HardwareProfile again = profile_from_node(parse_yaml(print_profile(p), "printed"));
      expect(again.datasheet == p.datasheet && again.measured == p.measured &&
                 again.fitted == p.fitted && again.host == p.host && again.assumed == p.assumed,
             "a profile prints to another one");
      to_machine(p);
      return;
    }
    case Kind::llm:
      return count(llm_from_bundle(parse_yaml(text, kName), {}));
    case Kind::config:
      return count(llm_from_config(parse_json(text, kName), null_node(), {}));
    case Kind::command: {
      std::vector<Override> overrides = parse_engine_args(text).overrides;
      overrides.insert(overrides.end(), {{"hardware", "h100-sxm-80gb", "--hardware"},
                                         {"model", "llama-3.1-8b", "--model"},
                                         {"workload", "{batch: 1, context: 1}", "--workload"}});
      scenario_from_overrides(overrides);
      return;
    }
    case Kind::benchmark: {
      const plan::BenchmarkFile f = plan::read_benchmark(text, kName);
      expect(f.requests && *f.requests > 0, "a run without requests");
      for (const auto& x : {f.ttft.mean, f.tpot.p50, f.itl.p99, f.output_rate, f.input_tokens})
        expect(!x || (*x > 0 && std::isfinite(*x)), "a figure that is none");
      return;
    }
    case Kind::state: {
      const sweep::LoadedState s = sweep::read_state(text, kName);
      sweep::read_state(print_state(*s.state, s.kept), "printed");
      return;
    }
    case Kind::axis: {
      const Axis a = sweep::parse_axis(text);
      expect(!a.values.empty(), "an axis without values");
      return;
    }
  }
}

/// "input: …", "input:3:7: …", "--engine-args …": every message says where.
bool has_place(const UserError& e, Kind kind) {
  return std::all_of(e.messages().begin(), e.messages().end(), [&](const std::string& m) {
    return m.starts_with("input:") || m.starts_with("command line:") ||
           ((kind == Kind::command || kind == Kind::axis) && m.starts_with("--"));
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t total = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 5000;
  const std::uint64_t first = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (__sanitizer_set_death_callback)
    __sanitizer_set_death_callback([] { fmt::print(stderr, "while reading input {}\n", g_index); });

  const std::vector<Seed> seeds = load_seeds();
  std::vector<std::string> texts;
  for (const Seed& seed : seeds) texts.push_back(seed.text);
  struct Tally {
    int read = 0, refused = 0;
  } tally[std::size(kKindNames)];
  double slowest = 0;
  int failures = 0;
  for (g_index = first; g_index < first + total; ++g_index) {
    Random random{g_index * 0x100000001b3u};
    Seed input = seeds[random.below(seeds.size())];
    for (std::size_t n = 1 + random.below(4); n > 0; --n) mutate(input.text, random, texts);
    Tally& t = tally[static_cast<std::size_t>(input.kind)];
    std::string failure;
    const auto begin = std::chrono::steady_clock::now();
    try {
      read(input.kind, input.text);
      ++t.read;
    } catch (const UserError& e) {
      ++t.refused;
      if (!has_place(e, input.kind)) failure = fmt::format("refused without a place: {}", e.what());
    } catch (const std::exception& e) {
      failure = fmt::format("exception: {}", e.what());
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    slowest = std::max(slowest, seconds);
    if (seconds > 1) failure = fmt::format("took {:.1f} s", seconds);
    if (failure.empty()) continue;
    fmt::print(stderr, "input {} ({}): {}\n{}\n", g_index,
               kKindNames[static_cast<std::size_t>(input.kind)], failure,
               input.text.substr(0, 2000));
    if (++failures == 10) break;
  }
  for (std::size_t k = 0; k < std::size(kKindNames); ++k)
    fmt::print("{:<12} {:>7} read {:>7} refused\n", kKindNames[k], tally[k].read, tally[k].refused);
  fmt::print("{} inputs, slowest {:.1f} ms, {} failures\n", total, slowest * 1e3, failures);
  return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
