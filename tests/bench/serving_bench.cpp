// Speed of the event simulator. Items are simulated requests.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "model/serving/arrivals.hpp"
#include "model/serving/simulate.hpp"
#include "model/serving/traces.hpp"
#include "tests/serving/reference_data.hpp"

using namespace kvroof;
using namespace kvroof::serving;

namespace {

/// Llama-3.1-8B BF16 on one H100: weights or math, cache, attention, host time.
Seconds h100_step(const StepMix& m) {
  const double tokens = m.decodes + m.prefill_tokens;
  return Seconds{std::max(15.01e9 / 3.0e12, 15.01e9 * tokens / 700e12) +
                 m.context * 131072 / 3.0e12 + 524288 * m.prefill_pairs / 500e12 + 1e-3};
}

const Simulation kOneH100{
    .limits = {
        .max_num_seqs = 256, .max_num_batched_tokens = 8192, .blocks = 28886, .watermark = .01}};

void run(benchmark::State& state, const Trace& trace) {
  const StepTime step = h100_step;
  for (auto _ : state) benchmark::DoNotOptimize(simulate(kOneH100, trace, step).e2e.p99);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(trace.requests.size()));
}

/// The recorded conversation trace at `range` times its rate.
void azure_conversation(benchmark::State& state) {
  const auto path = kvroof::reference_data("traces/azure_2023_conv.csv");
  if (!path) return state.SkipWithError("no reference data");
  Trace trace = load_trace(*path);
  speed_up(trace, static_cast<double>(state.range(0)));
  run(state, trace);
}
BENCHMARK(azure_conversation)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond);

/// A million requests of the same mean lengths and rate.
void million_requests(benchmark::State& state) {
  run(state, synthesise({.requests = 1'000'000,
                         .rate = 5.53,
                         .prompt = {LengthShape::exponential, 1155, 0, 1, 8192},
                         .output = {LengthShape::exponential, 211, 0, 1, 4096}}));
}
BENCHMARK(million_requests)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
