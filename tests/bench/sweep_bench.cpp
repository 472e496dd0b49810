// Speed of a sweep: 10.5 million points of a 70B, evaluated and reduced. Items are points.
#include <benchmark/benchmark.h>

#include <limits>

#include "model/hf_config.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "model/sweep/run.hpp"

using namespace kvroof;

namespace {

/// The grid of scenarios/sweep-70b.yaml.
sweep::Job job() {
  const std::vector<std::string> gpus = {"a100-sxm-80gb", "h100-sxm-80gb", "h200-sxm-141gb",
                                         "b200-sxm-180gb"};
  sweep::Job j;
  const auto axis = [&](const char* spec) { return sweep::parse_axis(spec); };
  j.grid = sweep::make_grid(
      {axis("hardware=a100-sxm-80gb,h100-sxm-80gb,h200-sxm-141gb,b200-sxm-180gb"),
       axis("serving.tensor_parallel_size=1,2,4,8"), axis("serving.kv_cache_dtype=bf16,fp8"),
       axis("workload.max_concurrency=1..256"), axis("workload.input_len=128..8192+128"),
       axis("workload.output_len=64..1280+64")},
      true);
  for (std::size_t a = j.grid.num_outer; a < j.grid.axes.size(); ++a)
    for (const std::string& v : j.grid.axes[a].values)
      j.grid.axes[a].numbers.push_back(std::stod(v));
  j.how = {.per = "hardware", .slo = {.45, .04}};
  std::vector<Machine> machines;
  for (const std::string& id : gpus)
    machines.push_back(to_machine(load_profile(find_profile(id, search_roots()))));
  j.deployment = [machines, llm = load_llm("llama-3.1-70b").shape](std::int64_t outer) {
    Setup s;
    s.llm = llm, s.engine = *find_engine("vllm");
    s.policy.kv = outer % 2 ? Dtype::fp8 : Dtype::bf16;
    s.policy.parallel.tensor = 1 << (outer / 2 % 4);
    s.machine = machines[static_cast<std::size_t>(outer / 8)];
    return std::optional(sweep::Deployment(s));
  };
  return j;
}

void ten_million_points(benchmark::State& state) {
  const sweep::Job j = job();
  for (auto _ : state) {
    sweep::Kept kept(j.grid, j.how);
    sweep::Progress progress{0, 0, j.grid.points()};
    sweep::run(j, progress, kept, {.threads = static_cast<int>(state.range(0))},
               [](const sweep::Progress&, const sweep::Kept&) {});
    benchmark::DoNotOptimize(kept.counts.kept);
  }
  state.SetItemsProcessed(state.iterations() * j.grid.points());
}
BENCHMARK(ten_million_points)
    ->Arg(1)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
