// Cycles per tile on Hopper, by the method of arXiv:2603.05451 section 3.1 applied to wgmma:
// 4096 FLOP, 16 exponentials and 128 shared-memory bytes per SM and clock.
#include "model/attention/pipes.hpp"

#include <doctest/doctest.h>

using namespace kvroof::attention;

TEST_CASE("Hopper pipe cycles of the shipped FlashAttention-3 tiles") {
  struct Row {
    double d;
    int m, n;
    double mma, exp, p_in_registers, p_in_smem;
  };
  // By hand: 4·m·n·d/4096, m·n/16, m·d·(64 + 2n)/4096,
  // and m·n/64 twice for P through shared memory.
  constexpr Row rows[] = {
      {64, 192, 128, 1536, 1536, 960, 1728},   {64, 192, 192, 2304, 2304, 1344, 2496},
      {96, 192, 144, 2592, 1728, 1584, 2448},  {128, 128, 128, 2048, 1024, 1280, 1792},
      {128, 128, 176, 2816, 1408, 1664, 2368}, {192, 128, 128, 3072, 1024, 1920, 2432},
      {256, 128, 80, 2560, 640, 1792, 2112},
  };
  for (const Row& r : rows) {
    CAPTURE(r.d);
    CAPTURE(r.n);
    const Tile t{.m = r.m, .n = r.n};
    CHECK(pipe_cycles(t, r.d, kHopperPipes, false) == PipeCycles{r.mma, r.exp, r.p_in_registers});
    CHECK(pipe_cycles(t, r.d, kHopperPipes, true).smem == r.p_in_smem);
  }
}

TEST_CASE("wgmma from shared memory feeds 32 wavefronts at m64n64k16") {
  // Counted on an H200: 16 wavefronts of 128 B for A and 16 for B, so both limits are met at
  // n = 64.
  const Tile t{.m = 64, .n = 64};
  const double qk = tile_smem_bytes(t, 16, 0, 2);
  CHECK(qk / 128 == 32);
}

TEST_CASE("FP8 halves tensor and operand cycles and leaves the exponentials") {
  // arXiv:2407.08608 section 3.3 / 4.1: with FP8 exponentials take as long as the products at
  // d 128.
  const PipeCycles c = pipe_cycles({.m = 128, .n = 128}, 128, kHopperFp8Pipes, false, 1);
  CHECK(c == PipeCycles{1024, 1024, 640});
}

TEST_CASE("a step is bound by its products or by what a warpgroup cannot hide") {
  // By hand, 128 x 128 scores at d 128 on two warpgroups: products 4·128·128·128/4096 = 2048, all
  // exponentials 128·128/16 = 1024, own 64·128/128·5.5 = 352: 1024 + 1024 + 352 = 2400 > 2048.
  const StepPlan lazy{.rescales = false};
  const Step s = step_cycles({.m = 128, .n = 128}, 128, 128, 2, kHopperPipes, lazy);
  CHECK(s.mma == 2048);
  CHECK(s.exp == 1024);
  CHECK(s.chain == 2400);
  CHECK(s.smem == 1280);
  CHECK(s.longest() == s.chain);
  // d 256 with 80 keys: 2560 cycles of products against 1280 + 640 + 220.
  const Step wide = step_cycles({.m = 128, .n = 80}, 256, 256, 2, kHopperPipes, lazy);
  CHECK(wide.mma == 2560);
  CHECK(wide.chain == 2140);
  CHECK(wide.longest() == wide.mma);
  // Polynomials do not pay where FMA and wgmma share issue slots and ports.
  StepPlan poly = lazy;
  poly.poly_share = 1 / 8., poly.poly_slots = 9;
  CHECK(step_cycles({.m = 128, .n = 128}, 128, 128, 2, kHopperPipes, poly).chain > s.chain);
}

TEST_CASE("a masked step: 2.9 instructions a score more, of all warpgroups") {
  // By hand, three warpgroups of 64 x 128 scores: 64 a warp's thread, so 2.9·64·3 = 556.8 cycles;
  // in the SASS of the E4M3 kernel 698 - 513 = 185 a warp, three warps a scheduler: 555.
  const StepPlan lazy{.warpgroups = 3, .rescales = false};
  const Step s = step_cycles({.m = 192, .n = 128}, 128, 128, 1, kHopperFp8Pipes, lazy);
  CHECK(s.mask == doctest::Approx(556.8));
  CHECK(s.masked() - s.longest() == doctest::Approx(556.8));  // the chain binds
  // d 256 in bf16, 80 keys: 2140 + 2.9·40·2 = 2372 cycles hide under 2560 of products.
  const Step wide =
      step_cycles({.m = 128, .n = 80}, 256, 256, 2, kHopperPipes, {.rescales = false});
  CHECK(wide.masked() == 2560);
}

TEST_CASE("a wait that nothing hides lengthens the chain alone") {
  const StepPlan waits{.rescales = false, .waits = 250};
  const Step s = step_cycles({.m = 128, .n = 128}, 256, 256, 1, kHopperFp8Pipes, waits);
  CHECK(s.chain == 1024 + 1024 + 352 + 250);  // products of one warpgroup, exponentials, own
  CHECK(s.mma == 2048);
}
