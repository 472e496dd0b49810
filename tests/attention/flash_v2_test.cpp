#include "model/attention/flash_v2.hpp"

#include <doctest/doctest.h>

#include <tuple>

using namespace kvroof;
using namespace kvroof::attention;

namespace {
constexpr OnChip kH200{};
constexpr Formats kBf16{};
constexpr Formats kFp32{.act = Dtype::fp32, .kv = Dtype::fp32, .math = MathType::fp32};
}  // namespace

TEST_CASE("FLOP convention: 4·b·h·N²·d, causal half, backward 2.5 times") {
  // arXiv:2307.08691 section 4.1. Hidden 2048, 16K tokens: 4·16384·16384·2048 at N = 16K.
  const AttentionShape full{.s_q = 16384, .s_kv = 16384, .h_q = 16, .h_kv = 16, .causal = false};
  AttentionShape causal = full;
  causal.causal = true;
  const double flops = 4. * 16384 * 16384 * 2048;
  CHECK(flash_v2(full, kBf16, kH200, {}).work.flops.value == flops);
  CHECK(flash_v2(causal, kBf16, kH200, {}).work.flops.value == flops / 2);
  CHECK(flash_v2(full, kBf16, kH200, {.backward = true}).work.flops.value == 2.5 * flops);
  CHECK(flash_v2(full, kBf16, kH200, {.backward = true}).work.flops_executed.value == 2.5 * flops);
}

TEST_CASE("executed over convention is 1 + 128/S for causal 128 x 128 tiles") {
  for (const double s : {512., 2048., 8192.}) {
    const AttentionShape x{.s_q = s, .s_kv = s, .h_q = 4, .h_kv = 4};
    const Work w = flash_v2(x, kBf16, kH200, {.tile = Tile{}}).work;
    CHECK(w.flops_executed / w.flops == 1 + 128 / s);
  }
}

TEST_CASE("HBM is compulsory: each of Q, K, V, O once, and the log-sum-exp") {
  // N 2048, d 64, fp32: 4·N·d·4 B = 2 MiB and 512 flop/B; the log-sum-exp adds 8 KiB.
  const AttentionShape x{.s_q = 2048, .s_kv = 2048, .d_qk = 64, .d_v = 64, .causal = false};
  const Work w = flash_v2(x, kFp32, kH200, {.lse = false}).work;
  CHECK(w.hbm().value == 2 * mebi);
  CHECK(w.intensity() == Intensity{512});
  CHECK(flash_v2(x, kFp32, kH200, {}).work.hbm().value == 2 * mebi + 8 * kibi);
  CHECK(w.reread == Bytes{});
}

TEST_CASE("L2 to SM: (2·T_r + 1)·N·d elements; the claim's '33 MiB' is this level, not HBM") {
  // N 2048, d 64, fp32, 64-row tiles: (2·32 + 1)·2048·64·4 = 32.5 MiB read, 33 MiB with O written.
  const AttentionShape x{.s_q = 2048, .s_kv = 2048, .d_qk = 64, .d_v = 64, .causal = false};
  const Work w = flash_v2(x, kFp32, kH200, {.tile = Tile{.m = 64, .n = 64}, .lse = false}).work;
  CHECK((w.l2_to_sm + w.hbm_written()).value == 33 * mebi);
}

TEST_CASE("sector model of arXiv:2601.16032: 8·S·(1 + S/T) full, 8·S·(S/2T + 3/2) causal") {
  // d 64, fp16, one head, square tiles of T: a row of K, V, Q or O is four 32-byte sectors.
  for (const double s : {4096., 16384.}) {
    const double t = 128;
    AttentionShape x{.s_q = s, .s_kv = s, .d_qk = 64, .d_v = 64, .causal = false};
    const auto sectors = [&] {
      const Work w = flash_v2(x, kBf16, kH200, {.tile = Tile{}, .lse = false}).work;
      return (w.l2_to_sm + w.hbm_written()).value / 32;
    };
    CHECK(sectors() == 8 * s * (1 + s / t));
    x.causal = true;
    CHECK(sectors() == 8 * s * (s / (2 * t) + 1.5));
  }
}

TEST_CASE("exponentials: one a score, one correction a row and tile") {
  const AttentionShape x{.b = 2, .s_q = 256, .s_kv = 512, .h_q = 3, .h_kv = 3, .causal = false};
  const Work w = flash_v2(x, kBf16, kH200, {.tile = Tile{}}).work;
  CHECK(w.exps == 2 * 3 * (256. * 512 + 256 * 4));
}

TEST_CASE("tiles are padded: 129 rows execute as 256, d 80 as 80, d 72 as 80 and 72") {
  const auto executed = [](double s, double d) {
    const AttentionShape x{.s_q = s, .s_kv = 128, .d_qk = d, .d_v = d, .causal = false};
    return flash_v2(x, kBf16, kH200, {.tile = Tile{}}).work.flops_executed.value;
  };
  CHECK(executed(129, 64) == executed(256, 64));
  CHECK(executed(128, 80) == 4. * 128 * 128 * 80);
  CHECK(executed(128, 72) == 2. * 128 * 128 * (80 + 72));  // k in steps of 16, n in steps of 8
}

TEST_CASE("without a mask, K/V of the head that a wave boundary cuts is read again") {
  // One head of 131072 tokens, 64 MB: 1024 blocks on 264 slots, boundaries at 264, 528, 792.
  AttentionShape x{.s_q = 131072, .s_kv = 131072, .causal = false};
  const Tile t{.m = 128, .n = 64, .ctas_per_sm = 2};
  const double stream = 131072. * 512;
  CHECK(flash_v2(x, kBf16, kH200, {.tile = t}).work.reread.value ==
        doctest::Approx(3 * stream).epsilon(1e-3));
  // 2 heads of 132 blocks fill a wave: no boundary cuts a head.
  x = {.b = 16, .s_q = 132 * 128, .s_kv = 132 * 128, .causal = false};
  CHECK(flash_v2(x, kBf16, kH200, {.tile = t}).work.reread == Bytes{});

  // DRAM reads over compulsory on an H200, 16K tokens in all, h·d = 2048:
  // reports/h200-sxm-141gb/validate.csv
  struct Row {
    double b, h, s, d;
    Tile tile;
    double seen;
  };
  const Tile t64{.m = 128, .n = 128, .ctas_per_sm = 2}, t256{.m = 64, .n = 32, .ctas_per_sm = 2};
  for (const Row& r : {Row{8, 32, 2048, 64, t64, 1.000}, Row{1, 32, 16384, 64, t64, 1.002},
                       Row{8, 16, 2048, 128, t, 1.005}, Row{2, 16, 8192, 128, t, 1.064},
                       Row{1, 16, 16384, 128, t, 1.205}, Row{8, 8, 2048, 256, t256, 1.020},
                       Row{2, 8, 8192, 256, t256, 1.202}, Row{1, 8, 16384, 256, t256, 1.524}}) {
    CAPTURE(r.s);
    CAPTURE(r.d);
    const AttentionShape shape{.b = r.b,
                               .s_q = r.s,
                               .s_kv = r.s,
                               .h_q = r.h,
                               .h_kv = r.h,
                               .d_qk = r.d,
                               .d_v = r.d,
                               .causal = false};
    const Work w = flash_v2(shape, kBf16, kH200, {.tile = r.tile}).work;
    CHECK(1 + w.reread / w.hbm_read() == doctest::Approx(r.seen).epsilon(0.03));
  }
}

TEST_CASE("Q that leaves L2 first makes room for K/V") {
  // DRAM reads over compulsory of flash_v3 (128 x 80 tiles, one block an SM) on an H200:
  // reports/h200-sxm-141gb/validate-hopper.csv
  for (const auto& [b, s, seen] :
       {std::tuple{8, 2048, 1.005}, {4, 4096, 1.011}, {2, 8192, 1.047}, {1, 16384, 1.350}}) {
    CAPTURE(s);
    const AttentionShape x{.b = 1. * b,
                           .s_q = 1. * s,
                           .s_kv = 1. * s,
                           .h_q = 8,
                           .h_kv = 8,
                           .d_qk = 256,
                           .d_v = 256,
                           .causal = false};
    const ForwardPlan plan{.tile = {.m = 128, .n = 80}, .q_leaves_l2 = true};
    const Work w = forward(x, kBf16, kH200, plan).work;
    CHECK(1 + w.reread / w.hbm_read() == doctest::Approx(seen).epsilon(0.025));
  }
}

TEST_CASE("a chunk over a long cache runs in waves, whatever its diagonal") {
  // 2048 tokens over 32768 keys, 32 heads on 8 K/V heads of 16.8 MB: 64 blocks a stream. On 264
  // slots one boundary cuts a stream: DRAM reads on an H200 168.5 to 175.7 MB of 151.0. On 132
  // slots of flash_v3 three do: 198.6 MB.
  const AttentionShape x{.s_q = 2048, .s_kv = 32768, .h_q = 32, .h_kv = 8};
  const double stream = 32768. * 512;
  const ForwardPlan two{.tile = {.m = 128, .n = 64, .ctas_per_sm = 2}};
  CHECK(forward(x, kBf16, kH200, two).work.reread.value == doctest::Approx(stream).epsilon(1e-3));
  const ForwardPlan one{.tile = {.m = 128, .n = 128}, .q_leaves_l2 = true};
  const Work w = forward(x, kBf16, kH200, one).work;
  CHECK(w.reread.value == doctest::Approx(198.6e6 - w.hbm_read().value).epsilon(0.05));
  CHECK(w.reread.value < 3 * stream);
}

TEST_CASE("with a mask, K/V is re-read only when one head exceeds L2") {
  // bf16, d 128: K and V of a head are 512 B a token, so 33 MB is 64K tokens. At 128K tokens and
  // 128 rows 1024 blocks of half the length on 264 slots are 1.94 fetches, by hand.
  AttentionShape x{.s_q = 32768, .s_kv = 32768};
  const Tile t{.m = 128, .n = 64, .ctas_per_sm = 2};
  CHECK(flash_v2(x, kBf16, kH200, {.tile = t}).work.reread == Bytes{});
  x.s_q = x.s_kv = 131072;
  const double stream = 131072. * 512;
  CHECK(flash_v2(x, kBf16, kH200, {.tile = t}).work.reread.value ==
        doctest::Approx(stream * (1024. / 264 / 2 - 1)).epsilon(0.01));
}

TEST_CASE(
    "backward: without a mask, Q, dO and the sums of a head that a boundary cuts come again") {
  // 128 blocks of 64 keys on 132 slots, d 256: 15 boundaries in 16 waves. DRAM bytes over
  // compulsory on an H200: reads 175.1 MB, writes 100.1 MB. A causal square keeps to 0.5 MB.
  AttentionShape x{.b = 2,
                   .s_q = 8192,
                   .s_kv = 8192,
                   .h_q = 8,
                   .h_kv = 8,
                   .d_qk = 256,
                   .d_v = 256,
                   .causal = false};
  const auto main = [](const AttentionShape& shape) {
    return flash_v2_backward_kernels(shape, kBf16, kH200, flash_v2_backward_tile(shape.d_qk))[1]
        .work;
  };
  const double once = 16. * 8192 * 256 * (2 * 2 + 4);  // dK, dV, and the sums
  const Work full = main(x);
  CHECK(full.reread.value == doctest::Approx(175.1e6).epsilon(0.15));
  CHECK(full.hbm_written().value - once == doctest::Approx(100.1e6).epsilon(0.15));
  x.causal = true;
  CHECK(main(x).reread == Bytes{});
  x = {.b = 2, .s_q = 8192, .s_kv = 8192, .h_q = 16, .h_kv = 16, .causal = false};
  CHECK(main(x).reread.value == doctest::Approx(39.3e6).epsilon(0.2));
}

TEST_CASE("backward: dQ's fp32 sum makes a second trip to HBM where L2 does not hold it") {
  // d 128: q, k, v, o, dO, dq, dk, dv are 256 bytes a row, the sum 512, lse and D 4 each.
  const auto backward = [](double s, double h_q, double h_kv) {
    // causal: nothing is fetched twice
    const AttentionShape x{.s_q = s, .s_kv = s, .h_q = h_q, .h_kv = h_kv};
    return flash_v2(x, kBf16, kH200, {.backward = true});
  };
  const Cost small = backward(1024, 2, 2);  // 1 MB of sums
  CHECK(small.work.hbm_read().value == 2048. * (5 * 256 + 512 + 8));
  CHECK(small.work.hbm_written().value == 2048. * (3 * 256 + 512 + 4));
  CHECK(small.handed_over.value == 2 * 2048. * (512 + 4));
  // 16 query tiles of 64 rows see 1, 1, 2, 2, … 8, 8 key tiles, and add to their sums at each.
  CHECK(small.work.l2_added.value == 2 * 72 * 64. * 512);
  const Cost large = backward(16384, 16, 16);  // 134 MB of sums, 67 MB of o
  const double rows = 16. * 16384;
  CHECK(large.work.hbm_read().value == rows * (6 * 256 + 2 * 512 + 8));
  CHECK(large.work.hbm_written().value == rows * (3 * 256 + 2 * 512 + 4));
  CHECK(large.handed_over == Bytes{});
  // Eight heads that share K and V: one block walks over them, dK and dV are written once.
  const Cost grouped = backward(16384, 16, 2);
  CHECK((large.work.hbm_written() - grouped.work.hbm_written()).value == 14 * 16384. * 2 * 256);
  CHECK(grouped.work.ctas == large.work.ctas / 8);
}
