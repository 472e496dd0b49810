// What it costs to start a kernel: the period of empty kernels, back to back.
//
//   stream           the host submits each one
//   stream, PDL      programmatic dependent launch: the next one's prologue overlaps (sm_90)
//   graph node       chained nodes of one CUDA graph
//   graph node, PDL  the same with programmatic edges
//   graph launch     host time to submit a graph of 1 and of 100 nodes
//   round trip       submit one kernel and wait for it
// Only right in a process without CUPTI tracing or counters.
#include <chrono>

#include "kernels/ceilings/load.hpp"
#include "kernels/ceilings/measure.hpp"
#include "kernels/check.hpp"
#include "kernels/graph.hpp"

namespace kvroof::kernels {
namespace {

__global__ void empty_kernel() {}

/// Lets its successor start at once, and waits for its predecessor before it ends.
__global__ void empty_dependent_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

void launch_empty(cudaStream_t stream) {
  empty_kernel<<<1, 32, 0, stream>>>();
  CUDA_CHECK(cudaGetLastError());
}

void launch_dependent(cudaStream_t stream) {
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = 1, config.blockDim = 32, config.stream = stream;
  config.attrs = &overlap, config.numAttrs = 1;
  CUDA_CHECK(cudaLaunchKernelEx(&config, empty_dependent_kernel));
}

double now() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

/// Host seconds of submit(), each time on an idle GPU; with `wait`, until the GPU is done.
Stats host_time(const std::function<void()>& submit, cudaStream_t stream, bool wait) {
  std::vector<double> seconds;
  for (int r = -2000; r < 1000; ++r) {  // the first milliseconds are slow: the host clock rises
    CUDA_CHECK(cudaStreamSynchronize(stream));
    const double start = now();
    submit();
    if (wait) CUDA_CHECK(cudaStreamSynchronize(stream));
    if (r >= 0) seconds.push_back(now() - start);
  }
  CUDA_CHECK(cudaStreamSynchronize(stream));
  return stats(std::move(seconds));
}

Ceiling row(const char* name, const char* variant, const Stats& s) {
  return {.name = name, .variant = variant, .unit = "s", .value = s};
}

}  // namespace

Case empty_case() { return {.name = "empty kernel", .launch = launch_empty}; }

std::vector<Ceiling> measure_launch() {
  const Stream stream;
  const Timing by_stream{.repeats = 50, .launches = 500, .submit = Submit::stream};
  const Timing by_graph{.repeats = 50, .launches = 500, .submit = Submit::graph};
  std::vector<Ceiling> rows;
  rows.push_back(row("launch_stream", "500 empty kernels", time_launches(launch_empty, by_stream)));
  rows.push_back(row("launch_graph_node", "chain of 500", time_launches(launch_empty, by_graph)));
  if (gpu().major >= 9) {
    rows.push_back(
        row("launch_stream_pdl", "500 empty kernels", time_launches(launch_dependent, by_stream)));
    rows.push_back(
        row("launch_graph_node_pdl", "chain of 500", time_launches(launch_dependent, by_graph)));
  }
  rows.push_back(row("launch_stream_submit", "host, one kernel",
                     host_time([&] { launch_empty(stream); }, stream, false)));
  rows.push_back(row("launch_round_trip", "submit and wait, stream",
                     host_time([&] { launch_empty(stream); }, stream, true)));
  for (const auto& [nodes, variant] :
       {std::pair{1, "host, 1 node"}, std::pair{100, "host, 100 nodes"}}) {
    const Graph graph(
        [n = nodes](cudaStream_t s) {
          for (int i = 0; i < n; ++i) launch_empty(s);
        },
        stream);
    const auto submit = [&] { graph(stream); };
    rows.push_back(row("launch_graph_submit", variant, host_time(submit, stream, false)));
    if (nodes == 1)
      rows.push_back(
          row("launch_round_trip", "submit and wait, graph of 1", host_time(submit, stream, true)));
  }
  return rows;
}

}  // namespace kvroof::kernels
