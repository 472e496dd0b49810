#include "model/attention/flash_v3.hpp"

#include <doctest/doctest.h>

#include "model/attention/pipes.hpp"

using namespace kvroof;
using namespace kvroof::attention;

namespace {
constexpr OnChip kH200{};
constexpr Formats kFp8{.act = Dtype::fp8, .kv = Dtype::fp8, .math = MathType::fp8};
}  // namespace

TEST_CASE("tiles of hopper/tile_size.h") {
  const auto size = [](double d_qk, double d_v, bool causal, MathType math = MathType::bf16) {
    const Tile t = flash_v3_tile(d_qk, d_v, causal, false, math);
    return 1000 * t.m + t.n;
  };
  CHECK(size(64, 64, true) == 192128);
  CHECK(size(64, 64, false) == 192192);
  CHECK(size(96, 96, false) == 192144);
  CHECK(size(128, 128, true) == 128128);
  CHECK(size(128, 128, false) == 128176);
  CHECK(size(192, 128, false) == 128128);
  CHECK(size(192, 192, false) == 128112);
  CHECK(size(256, 256, true) == 128080);
  CHECK(size(128, 128, false, MathType::fp8) == 128224);
  CHECK(flash_v3_tile(64, 64, false, false, MathType::bf16).p_in_smem);
  CHECK_FALSE(flash_v3_tile(128, 128, false, false, MathType::bf16).p_in_smem);
}

TEST_CASE("Table 2 ablation: 661 TFLOP/s is the convention over 3.538 ms") {
  // arXiv:2407.08608 Table 2: batch 4, N 8448, 16 heads, d 128, full mask, fp16.
  const AttentionShape x{.b = 4, .s_q = 8448, .s_kv = 8448, .h_q = 16, .h_kv = 16, .causal = false};
  const Work w = flash_v3(x, {}, kH200, {}).work;
  CHECK((w.flops / Seconds{3.538e-3}).value == doctest::Approx(661e12).epsilon(2e-3));
  CHECK(w.flops_executed == w.flops);  // 8448 = 66·128 = 48·176: nothing to pad
  CHECK(w.ctas == 4 * 16 * 66);
}

TEST_CASE("smem bytes of a launch are the pipe model's cycles times 128") {
  const AttentionShape x{.s_q = 1280, .s_kv = 1280};  // ten 128 x 128 tiles a side, 55 visited
  const Work w = flash_v3(x, {}, kH200, {}).work;
  CHECK(w.smem.value == 55 * 1280. * 128);
  CHECK(w.exps == 55 * (128. * 128 + 128));
}

TEST_CASE("overlap 0.3 reproduces the published full-mask peaks at 1830 MHz within 5 %") {
  // arXiv:2407.08608 Fig. 5 at 16K: 497, 648, 756 TFLOP/s;
  // cycles = mma + 0.7·(exp + fp32 / 128 lanes).
  struct Row {
    double d, tflops;
  };
  for (const Row r : {Row{64, 497}, {128, 648}, {256, 756}}) {
    const AttentionShape x{.s_q = 16896, .s_kv = 16896, .d_qk = r.d, .d_v = r.d, .causal = false};
    const Cost c = flash_v3(x, {}, kH200, {});
    const Work& w = c.work;
    const double other = w.exps / 16 + w.fp32.value / 2 / 128;
    const double cycles = w.flops_executed.value / 4096 + (1 - c.execution.pipe_overlap) * other;
    const double tflops = w.flops.value / cycles * 132 * 1.83e9 / 1e12;
    CAPTURE(r.d);
    CAPTURE(tflops);
    CHECK(tflops == doctest::Approx(r.tflops).epsilon(0.05));
  }
}

TEST_CASE("a group is packed where it saves more than 10 % of the rows") {
  CHECK(should_pack(1, 8, 128));           // 1 of 128 rows against 8 of 128
  CHECK(should_pack(130, 8, 128));         // 130 of 256 against 1040 of 1152
  CHECK_FALSE(should_pack(4096, 8, 128));  // nothing to win
  const AttentionShape x{.s_q = 4, .s_kv = 4096, .h_q = 32, .h_kv = 4};
  const Work w = flash_v3(x, {}, kH200, {}).work;
  CHECK(w.ctas == 4);  // one tile of 32 rows per K/V head
  CHECK(w.l2_to_sm - w.read.activations == w.read.kv);
}

TEST_CASE("FP8 halves the bytes and doubles nothing else") {
  const AttentionShape x{.s_q = 4480, .s_kv = 4480, .causal = false};
  const Tile t{.m = 128, .n = 224};
  const Work bf16 = flash_v3(x, {}, kH200, {.tile = t, .lse = false}).work;
  const Work fp8 = flash_v3(x, kFp8, kH200, {.tile = t, .lse = false}).work;
  CHECK(bf16.hbm() / fp8.hbm() == 2);
  CHECK(bf16.smem / fp8.smem == 2);
  CHECK(fp8.exps == bf16.exps);
  CHECK(fp8.flops_executed == bf16.flops_executed);
  CHECK(fp8.fp32 == bf16.fp32);  // the tensor cores take E4M3 as it is: no conversion
}

TEST_CASE("list scheduling hands the next tile to the SM that is free first") {
  // Three tiles of 128 rows, causal, 128 keys: 1, 2 and 3 steps of 10 cycles and 5 for each tile.
  const AttentionShape x{.s_q = 384, .s_kv = 384, .h_q = 2, .h_kv = 2};
  const Tile t{.m = 128, .n = 128};
  const Step step{.mma = 1, .chain = 10};
  // Longest first over both heads, two SMs: 35 + 25 + 15 on each.
  CHECK(busiest_sm(x, t, step, {.section = 2, .per_tile = 5}, {.num_sms = 2}) == 75);
  // Head by head the blocks get 35, 35 and 25, 15, 25, 15.
  CHECK(busiest_sm(x, t, step, {.section = 1, .per_tile = 5}, {.num_sms = 2}) == 80);
  // First rows first: 15 + 25 + 35 on each.
  CHECK(busiest_sm(x, t, step, {.section = 2, .longest_first = false, .per_tile = 5},
                   {.num_sms = 2}) == 75);
  // Where products bind, each tile's first softmax stands alone.
  CHECK(busiest_sm(x, t, {.mma = 10, .chain = 4}, {.section = 2}, {.num_sms = 100}) == 34);
}

TEST_CASE("the E4M3 kernel moves V twice more and writes O in bf16") {
  // s 64: V 64·128 bytes, V^T the same; O 64·128·2 and 4 bytes of log-sum-exp a row.
  const AttentionShape x{.s_q = 64, .s_kv = 64, .h_q = 1, .h_kv = 1, .causal = false};
  const Work w = flash_v3_fp8(x, kH200, {}).work;
  CHECK(w.read.kv == Bytes{3 * 64 * 128.});
  CHECK(w.written.total() == Bytes{64 * 128. + 64 * 128. * 2 + 64 * 4});
  CHECK(w.launches == 2);
}

TEST_CASE("the diagonal's key tiles take a mask, and one that reaches past the last key") {
  // 384 rows and keys, tiles of 192 x 128. Rows 0..191 see 192 keys: two tiles, both masked; rows
  // 192..383 see 384: three, of which the first is seen by all rows.
  const AttentionShape x{.s_q = 384, .s_kv = 384, .h_q = 1, .h_kv = 1};
  const Step step{.chain = 100, .mask = 10};
  CHECK(busiest_sm(x, {.m = 192, .n = 128}, step, {}, {.num_sms = 1}) == 2 * 110 + 100 + 2 * 110);
  // A full mask over 300 keys: two tiles of 128, and one of 44 that is masked.
  const AttentionShape full{.s_q = 192, .s_kv = 300, .h_q = 1, .h_kv = 1, .causal = false};
  CHECK(busiest_sm(full, {.m = 192, .n = 128}, step, {}, {.num_sms = 1}) == 2 * 100 + 110);
}

TEST_CASE("a single buffer for Q: 0.52 of its transfer is waited for, longer where HBM is busy") {
  // 128 rows of 192 in bf16 at 64 bytes a clock: 768 cycles.
  const Bytes q{2 * 128 * 192.};
  CHECK(exposed_q(q, 0) == doctest::Approx(0.52 * 768));
  CHECK(exposed_q(q, 0.5) == doctest::Approx(0.52 * 1536));
  CHECK(exposed_q(q, 2) == doctest::Approx(0.52 * 7680));  // never without an end
}

TEST_CASE("the end of an E4M3 tile: O in bf16 at an SM's 20 bytes a clock of HBM") {
  // 192 rows of 128: 49,152 bytes, 2457.6 cycles
  CHECK(tile_overhead_e4m3(192, 128) == doctest::Approx(1840 + 0.83 * 2457.6));
}

TEST_CASE("scales of blocks cost trips to memory") {
  // 340.9 ns from HBM and 145.5 ns from L2 (hw_profiles/h200-sxm-141gb.yaml) at 1.74 GHz
  CHECK(kScalesOfTile == doctest::Approx((340.9 + 145.5) * 1.74).epsilon(2e-3));
  CHECK(kScaleAfterScores == doctest::Approx(145.5 * 1.74).epsilon(2e-3));
  CHECK(kScaleAhead ==
        (527 - 513) * 3);  // SASS of a step with and without, three warps a scheduler
}

// Three equal tiles of 10 steps on two SMs: 2 tiles one after another, or 1.5 where the third is
// cut in half. Its partial results: 2 x 64 rows of 128 values and a logarithm, 4 bytes each; Q of
// the second half: 64 x 128 bytes.
TEST_CASE("flash_v3_fp8: tiles cut by keys") {
  const AttentionShape x{
      .s_q = 192, .s_kv = 640, .h_q = 1, .h_kv = 1, .d_qk = 128, .d_v = 128, .causal = false};
  const Tile t{.m = 64, .n = 64};
  const Step step{.mma = 7};
  CHECK(busiest_sm(x, t, step, {}, {.num_sms = 2}) == 140);
  CHECK(busiest_sm(x, t, step, {.cut = {.tiles = 1, .parts = 2}}, {.num_sms = 2}) == 105);
  const Cost cut = with_cut_tiles({}, t, 128, 128, 1, {.tiles = 1, .parts = 2});
  CHECK(cut.work.hbm_written() == Bytes{66048});
  CHECK(cut.work.l2_to_sm == Bytes{66048 + 8192});
  CHECK(cut.handed_over == Bytes{2 * 66048});
  // Read back at 17 bytes a clock of each of two SMs.
  const OnChip two{.num_sms = 2};
  CHECK(combine_cycles({.tiles = 1, .parts = 2}, t, 128, two) == doctest::Approx(66048 / 34.));
  CHECK(combine_cycles({}, t, 128, two) == 0);
}

// One head of 128 rows and 128 keys, d 128: two blocks of Q, one of K and V.
TEST_CASE("flash_v3_fp8: scales of blocks and the passes that quantise") {
  const AttentionShape x{.s_q = 128, .s_kv = 128, .h_q = 1, .h_kv = 1, .causal = false};
  const Work per_head = flash_v3_fp8(x, kH200, {}).work;
  const Work blocks = flash_v3_fp8(x, kH200, {.block_scales = true}).work;
  // Scales of Q 2·4, of K and V 2·4, and 16 bytes for the kernel, written and read.
  CHECK(blocks.hbm_read() - per_head.hbm_read() == Bytes{8 + 8 + 16});
  CHECK(blocks.hbm_written() - per_head.hbm_written() == Bytes{16});
  CHECK(blocks.launches == per_head.launches);
  const Work from_bf16 = flash_v3_fp8(x, kH200, {.block_scales = true, .from_bf16 = true}).work;
  // Q, K and V in BF16 read, in E4M3 written, and the four scales.
  CHECK(from_bf16.hbm_read() - blocks.hbm_read() == Bytes{3 * 128 * 128 * 2});
  CHECK(from_bf16.hbm_written() - blocks.hbm_written() == Bytes{3 * 128 * 128 + 4 * 4});
  CHECK(from_bf16.launches - blocks.launches == 3);
  const Options rotated{.block_scales = true, .from_bf16 = true, .incoherent = true};
  const Work incoherent = flash_v3_fp8(x, kH200, rotated).work;
  CHECK(incoherent.hbm() == from_bf16.hbm());
  CHECK(incoherent.fp32 - from_bf16.fp32 == Flops{2 * 128 * 128 * 7.});  // log2(128), Q and K
  // 16.5 bytes a clock of each of 132 SMs for V read and V^T written, 20 for the passes.
  CHECK(pass_cycles(x, kH200, {}) == doctest::Approx(2 * 128 * 128 / (16.5 * 132)));
  // Three shuffles an element of Q and K, 4 bytes each at 128 a clock.
  CHECK(pass_cycles(x, kH200, rotated) ==
        doctest::Approx(128 * 128 * (2 / 16.5 + 9 / 20. + 2 * 3 * 4 / 128.) / 132).epsilon(1e-3));
}
