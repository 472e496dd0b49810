// Runs the ceilings on the GPU and holds each against physics. Skipped (77) without a GPU.
// `kvroof_ceilings_test --print` prints every row as CSV.
#define DOCTEST_CONFIG_IMPLEMENT
#include "kernels/ceilings/ceilings.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <string_view>

#include "kernels/device.hpp"

using namespace kvroof::kernels;

namespace {

const std::vector<std::pair<std::string, std::vector<Ceiling>>>& all() {
  static const auto rows = [] {
    std::vector<std::pair<std::string, std::vector<Ceiling>>> groups;
    for (const CeilingGroup& g : ceiling_groups()) {
      const auto start = std::chrono::steady_clock::now();
      groups.emplace_back(g.name, g.measure());
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      std::fprintf(stderr, "# %s: %.1f s\n", g.name.c_str(), took.count());
    }
    return groups;
  }();
  return rows;
}

void print() {
  std::puts("group,name,variant,unit,median,p5,p95,repeats,bound,share,sm_clock_mhz,intended,entry");
  for (const auto& [group, rows] : all())
    for (const Ceiling& c : rows)
      std::printf("%s,%s,\"%s\",%s,%.6g,%.6g,%.6g,%d,%.6g,%.4f,%.1f,%.17g,%s\n", group.c_str(),
                  c.name.c_str(), c.variant.c_str(), c.unit.c_str(), c.value.median, c.value.p5,
                  c.value.p95, c.value.repeats, c.bound, c.bound > 0 ? c.value.median / c.bound : 0,
                  c.sm_clock_hz / 1e6, c.intended, c.entry.c_str());
}

}  // namespace

TEST_CASE("no ceiling is above its physical bound, and every one was measured") {
  for (const auto& [group, rows] : all()) {
    CHECK(!rows.empty());
    for (const Ceiling& c : rows) {
      CAPTURE(c.name);
      CAPTURE(c.variant);
      CHECK(c.value.median > 0);
      // 0.2 %: the clock is one thread's, and the GPU may have moved it between the samples
      if (c.bound > 0) CHECK(c.value.median <= 1.002 * c.bound);
    }
  }
}

TEST_CASE("micro-kernels compute what they say") {
  for (const Entry& e : catalogue()) {
    if (e.name != "hbm_copy" && e.name != "wgmma_peak" && e.name != "mma_sync_peak") continue;
    for (Args args : e.shapes) {
      CAPTURE(e.name);
      if (e.name == "hbm_copy") args["mib"] = 200;
      try {
        const Verdict v = e.make(args).verify();
        CAPTURE(v.detail);
        CAPTURE(v.relative_error);
        CHECK(v.ok);
      } catch (const NotOnThisGpu& e) {
        MESSAGE(e.what());
      }
    }
  }
}

int main(int argc, char** argv) {
  if (!has_gpu()) {
    std::puts("no GPU: skipped");
    return 77;
  }
  if (argc > 1 && std::string_view(argv[1]) == "--print") return print(), 0;
  return doctest::Context(argc, argv).run();
}
