// Times the default shapes of catalogue entries, one CSV row each: kvroof_kernel_times NAME...
// Many launches per pair of events, submitted as a graph; the median of the samples.
#include <cstdio>
#include <exception>

#include "kernels/bench.hpp"
#include "kernels/device.hpp"

using namespace kvroof;
using namespace kvroof::kernels;

int main(int argc, char** argv) {
  if (!has_gpu()) {
    std::fprintf(stderr, "no GPU: nothing to time\n");
    return 77;
  }
  std::printf("kernel,case,us,p5_us,p95_us,tflop_s,gb_s\n");
  for (int i = 1; i < argc; ++i) {
    const Entry* entry = find_entry(argv[i]);
    if (entry == nullptr) {
      std::fprintf(stderr, "no kernel named %s\n", argv[i]);
      return 2;
    }
    for (const Args& args : entry->shapes) {
      try {
        const Case c = entry->make(args);
        const Stats s = time_case(c, {.repeats = 7, .sample_seconds = 20e-3});
        const Work& w = c.op.work;
        const Bytes hbm = w.hbm() - c.op.handed_over;
        std::printf("%s,%s,%.2f,%.2f,%.2f,%.1f,%.0f\n", argv[i], c.name.c_str(), s.median * 1e6,
                    s.p5 * 1e6, s.p95 * 1e6, w.flops.value / s.median / 1e12,
                    hbm.value / s.median / 1e9);
      } catch (const std::exception& e) {
        std::printf("%s,failed: %s\n", argv[i], e.what());
      }
      std::fflush(stdout);
    }
  }
}
