// Runs the ceilings on the GPU and holds each against physics. Skipped (77) without a GPU.
// `--print` prints every row as CSV, `--gemm` every product of the catalogue,
// `--run ENTRY key=value …` launches one kernel twice, for a profiler beside it.
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

void print() {
  std::puts(
      "group,name,variant,unit,median,p5,p95,repeats,bound,share,sm_clock_mhz,intended,entry");
  for (const auto& [group, rows] : all())
    for (const Ceiling& c : rows)
      std::printf("%s,%s,\"%s\",%s,%.6g,%.6g,%.6g,%d,%.6g,%.4f,%.1f,%.17g,%s\n", group.c_str(),
                  c.name.c_str(), c.variant.c_str(), c.unit.c_str(), c.value.median, c.value.p5,
                  c.value.p95, c.value.repeats, c.bound, c.bound > 0 ? c.value.median / c.bound : 0,
                  c.sm_clock_hz / 1e6, c.intended, c.entry.c_str());
}

void print_gemm() {
  std::puts(
      "entry,case,seconds,p5,p95,flops,flops_executed,read_bytes,written_bytes,flop_per_s,"
      "error,tolerance");
  for (const char* name : {"gemm_bf16", "gemm_fp8"}) {
    const Entry* entry = find_entry(name);
    for (const Args& args : entry ? entry->shapes : std::vector<Args>{}) {
      try {
        const Case c = entry->make(args);
        const Verdict v = c.verify();
        const Stats s = time_case(c, {.repeats = 15});
        const auto& w = c.op.work;
        std::printf("%s,\"%s\",%.6g,%.6g,%.6g,%.17g,%.17g,%.17g,%.17g,%.6g,%.2e,%.0e%s\n", name,
                    c.name.c_str(), s.median, s.p5, s.p95, w.flops.value, w.flops_executed.value,
                    w.hbm_read().value, w.hbm_written().value, w.flops.value / s.median,
                    v.relative_error, v.tolerance, v.ok ? "" : " WRONG");
      } catch (const std::exception& e) {
        std::printf("# %s: %s\n", name, e.what());
      }
    }
  }
}

int run_entry(int argc, char** argv) {
  const Entry* entry = argc > 2 ? find_entry(argv[2]) : nullptr;
  if (!entry) return std::fprintf(stderr, "no such kernel\n"), 2;
  Args args;
  for (int i = 3; i < argc; ++i) {
    const std::string text = argv[i];
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) return std::fprintf(stderr, "expected key=value\n"), 2;
    args[text.substr(0, equals)] = std::stod(text.substr(equals + 1));
  }
  const Case c = entry->make(args);
  flush_l2(nullptr);
  for (int i = 0; i < 2; ++i) c.launch(nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());
  std::printf("%s: flops_executed %.17g, read %.17g, written %.17g, l2_to_sm %.17g\n",
              c.name.c_str(), c.op.work.flops_executed.value, c.op.work.hbm_read().value,
              c.op.work.hbm_written().value, c.op.work.l2_to_sm.value);
  return 0;
}

}  // namespace

TEST_CASE("no ceiling is above its physical bound, and every one was measured") {
  for (const auto& [group, rows] : all()) {
    CHECK(!rows.empty());
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
  if (argc > 1 && std::string_view(argv[1]) == "--print") return print(), 0;
  if (argc > 1 && std::string_view(argv[1]) == "--gemm") return print_gemm(), 0;
  if (argc > 1 && std::string_view(argv[1]) == "--run") return run_entry(argc, argv);
  return doctest::Context(argc, argv).run();
}
