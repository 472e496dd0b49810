// A decode step launched kernel by kernel and as a CUDA graph, with elementwise chains fused and
// not: measured beside what the model expects. kvroof_step_times PROFILE.yaml writes CSV.
#include <cstdio>

#include "kernels/bench.hpp"
#include "kernels/device.hpp"
#include "kernels/step/step.hpp"
#include "model/profile.hpp"
#include "model/time.hpp"

using namespace kvroof;
using namespace kvroof::kernels;

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: kvroof_step_times PROFILE.yaml\n");
    return 2;
  }
  if (!has_gpu()) {
    std::fprintf(stderr, "no GPU: nothing to time\n");
    return 77;
  }
  const Machine machine = to_machine(load_profile(argv[1]));
  std::printf("b,s_kv,fused,kernels,stream_us,stream_expected_us,graph_us,graph_expected_us\n");
  for (const double b : {1., 8., 64.})
    for (const double s_kv : {1024., 8192.})
      for (const double fused : {1., 0.}) {
        const Step d = decode_step({{"b", b}, {"s_kv", s_kv}, {"fused", fused}});
        const auto measured = [&](Submit submit) {
          return 1e6 * time_case(d.whole, {.repeats = 15, .launches = 10, .submit = submit}).median;
        };
        const auto expected = [&](kvroof::Launch how) {
          return 1e6 * time(d.ops, machine, how).expected.value;
        };
        std::printf("%.0f,%.0f,%.0f,%d,%.1f,%.1f,%.1f,%.1f\n", b, s_kv, fused,
                    d.whole.kernels_per_launch, measured(Submit::stream),
                    expected(kvroof::Launch::stream), measured(Submit::graph),
                    expected(kvroof::Launch::graph));
        std::fflush(stdout);
      }
}
