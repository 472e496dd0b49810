// Cost of one prediction, warm: a decode step of an 80-layer network on 8 GPUs, ops and times.
//   build/<preset>/bin/kvroof_benchmark --benchmark_filter=DecodeStep
#include <benchmark/benchmark.h>

#include "model/ops.hpp"
#include "model/predict.hpp"
#include "model/search_path.hpp"
#include "tests/machines.hpp"

namespace {

using namespace kvroof;

void DecodeStep(benchmark::State& state) {
  const LlmShape llm = load_llm("llama-3.1-70b").shape;
  const Machine machine = test::h100();
  Policy policy;
  policy.parallel.tensor = 8;
  const Lowering lowering = lower(llm, policy, machine);
  double context = 4096;
  for (auto _ : state) {
    const StepLoad load{
        {.requests = static_cast<double>(state.range(0)), .s_q = 1, .cached = context}};
    context = context < 8192 ? context + 1 : 4096;  // never the same step twice in a row
    benchmark::DoNotOptimize(time(ops(lowering, policy, load), machine, Launch::graph).expected);
  }
}
BENCHMARK(DecodeStep)->Arg(16)->Arg(64);

}  // namespace

BENCHMARK_MAIN();
