// Runs the ceilings on the GPU and holds each against physics. Skipped (77) without a GPU.
#define DOCTEST_CONFIG_IMPLEMENT
#include "kernels/ceilings/ceilings.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "kernels/ceilings/loads.hpp"
#include "kernels/ceilings/steady.hpp"
#include "kernels/check.hpp"
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

}  // namespace

TEST_CASE("no ceiling is above its physical bound, and every one was measured") {
  for (const auto& [group, rows] : all()) {
    CHECK(rows.empty() == (group == "tcgen05" && gpu().major != 10));
    for (const Ceiling& c : rows) {
      CAPTURE(c.name);
      CAPTURE(c.variant);
      CHECK(c.value.median > 0);
      // Mean rate against mean clock; 0.3 %: the clock is one SM's, the time the whole grid's.
      if (c.bound > 0) CHECK(c.value.mean <= 1.003 * c.bound);
    }
  }
}

TEST_CASE("HBM is read by wide loads, bulk copies and tensor maps, each near the pins' rate") {
  if (gpu().major < 9) return;
  for (const char* way : {"ldg", "bulk", "tensor"}) {
    double best = 0;
    for (const auto& [group, rows] : all())
      for (const Ceiling& c : rows)
        if (c.name == "hbm_read" && c.variant.starts_with(way))
          best = std::max(best, c.value.median / c.bound);
    CAPTURE(way);
    CHECK(best > 0.85);
  }
}

TEST_CASE("micro-kernels compute what they say") {
  for (const Entry& e : catalogue()) {
    if (e.name != "hbm_copy" && e.name != "wgmma_peak" && e.name != "mma_sync_peak") continue;
    for (Args args : e.shapes) {
      CAPTURE(e.name);
      if (e.name == "hbm_copy") args["mib"] = 264;
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

TEST_CASE("a light load without rest takes what single launches take, alone or beside another") {
  const Case fma = fma_load({}).kernel;
  const double single = time_case(fma, {.repeats = 5}).median;
  const SteadyRun alone = run_steady(std::array{fma}, {.lead = 0.1, .window = 0.2});
  CHECK(alone.seconds[0] == doctest::Approx(single).epsilon(0.03));
  // Two of them share every SM: neither is faster than alone, nor slower than one after the other.
  const SteadyRun both = run_steady(std::array{fma, fma}, {.lead = 0.1, .window = 0.2});
  for (const double seconds : both.seconds) {
    CHECK(seconds > 0.97 * single);
    CHECK(seconds < 2.2 * single);
  }
}

int main(int argc, char** argv) {
  if (!has_gpu()) {
    std::puts("no GPU: skipped");
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
