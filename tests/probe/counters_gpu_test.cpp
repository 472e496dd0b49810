// Kernels of known work under counters: what was launched is what is counted. Needs a GPU and
// permission to count; says why it did not run otherwise (exit 77).
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "cupti_probe/count.hpp"
#include "cupti_probe/error.hpp"
#include "kernels/check.hpp"

using namespace kvroof;
using namespace kvroof::probe;

namespace {

kernels::Case case_of(const char* entry, kernels::Args args = {}) {
  return kernels::find_entry(entry)->make(args);
}
double counted(const kernels::Case& c, const char* group, const char* figure,
               CountOptions options = {.launches = 2}) {
  return count(c, load_group(group), options)[figure].value();
}

}  // namespace

TEST_CASE("a copy reads and writes what it copies") {
  const kernels::Case c = case_of("hbm_copy", {{"mib", 1024}});
  const Counts counts = count(c, load_group("hbm"), {.launches = 2, .write_back = true});
  CHECK(counts["read"].value() == doctest::Approx(c.op.work.hbm_read().value).epsilon(0.001));
  CHECK(counts.written_back.value() ==
        doctest::Approx(c.op.work.hbm_written().value).epsilon(0.005));
}

TEST_CASE("dirty lines of a kernel smaller than L2 are found behind its flush") {
  // Three steps of the grid, 49.5 MiB of 60: 1 % is what the profiler itself writes in a range.
  const kernels::Case c = case_of("hbm_write", {{"mib", 50}});
  const Counts counts = count(c, load_group("hbm"), {.launches = 2, .write_back = true});
  CHECK(counts["written"].value() < 0.9 * c.op.work.hbm_written().value);
  CHECK(counts.written_back.value() ==
        doctest::Approx(c.op.work.hbm_written().value).epsilon(0.01));
}

TEST_CASE("memory freed just before, which the driver clears, is not what a kernel wrote") {
  const kernels::Case c = case_of("hbm_copy", {{"mib", 256}});
  WriteBack written_back;
  {
    const kernels::Buffer large(std::size_t{32} << 30);
    CUDA_CHECK(cudaMemset(large.as(), 1, large.bytes()));
  }
  CHECK(written_back(c) == doctest::Approx(c.op.work.hbm_written().value).epsilon(0.005));
}

TEST_CASE("tensor exponential and FMA counts are the same integers as the work") {
  const kernels::Case mma = case_of("mma_sync_peak", {{"type", 0}});
  CHECK(counted(mma, "roofline", "tensor_flop") == mma.op.work.flops_executed.value);
  const kernels::Case ex2 = case_of("ex2");
  CHECK(counted(ex2, "roofline", "exps") == ex2.op.work.exps);
  const kernels::Case fma = case_of("fp32_fma");
  CHECK(counted(fma, "fp32", "ffma") == fma.op.work.fp32.value / 2);
  if (target().chip != "GH100") return;
  for (const double type : {0., 1., 2., 3., 4.}) {  // bf16 fp16 tf32 fp8 int8
    const kernels::Case wgmma = case_of("wgmma_peak", {{"type", type}, {"n", 256}});
    INFO("type ", type);
    CHECK(counted(wgmma, "roofline", "tensor_flop") == wgmma.op.work.flops_executed.value);
    CHECK(counted(wgmma, "tensor", "all", {.launches = 1}) == wgmma.op.work.flops_executed.value);
  }
}

TEST_CASE("a whole range counts the same and tells no time") {
  const kernels::Case ex2 = case_of("ex2");
  const Counts counts = count(ex2, load_group("roofline"), {.launches = 1, .scope = Scope::whole});
  CHECK(counts["exps"].value() == ex2.op.work.exps);
  CHECK_FALSE(counts["time"].has_value());
  CHECK(counts["sm_clock"].has_value());
}

TEST_CASE("a launch of more kernels than announced is seen as what it is") {
  kernels::Case c = case_of("ex2");
  const auto one = c.launch;
  c.launch = [one](cudaStream_t s) { one(s), one(s), one(s); };
  const Counts counts = count(c, load_group("exp"), {.launches = 2});
  CHECK(counts.kernels_per_launch == 3);
  CHECK(counts["exps"].value() == 3 * c.op.work.exps);
  CHECK(counts.kernels.size() == 3);
}

TEST_CASE("a warm read finds its data in L2 a cold one does not") {
  const kernels::Case c = case_of("l2_read", {{"mib", 16}, {"total_mib", 64}});
  const double cold = counted(c, "hbm", "read");
  const double warm = counted(c, "hbm", "read", {.l2 = kernels::L2::warm, .launches = 2});
  CHECK(cold >= 0.999 * 16 * 1048576);
  CHECK(warm < 0.05 * 16 * 1048576);
}

TEST_CASE("one counter for many cases counts what one for each does") {
  const kernels::Case small = case_of("hbm_copy", {{"mib", 512}}),
                      large = case_of("hbm_copy", {{"mib", 1024}});
  {
    Counter counter(load_group("hbm"), {.launches = 2}, 1);
    for (const kernels::Case* c : {&small, &large, &small})
      CHECK(counter(*c)["read"].value() ==
            doctest::Approx(c->op.work.hbm_read().value).epsilon(0.001));
  }
  WriteBack written_back;
  for (const kernels::Case* c : {&large, &small})
    CHECK(written_back(*c) == doctest::Approx(c->op.work.hbm_written().value).epsilon(0.005));
}

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  if (!context.shouldExit()) try {
      target();
    } catch (const Unavailable& e) {
      std::printf("not run: %s\n", e.what());
      return 77;
    }
  return context.run();
}
