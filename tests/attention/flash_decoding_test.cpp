#include "model/attention/flash_decoding.hpp"

#include <doctest/doctest.h>

#include "model/attention/gqa_decode.hpp"

using namespace kvroof;
using namespace kvroof::attention;

TEST_CASE("split rule of FlashAttention-2, by hand") {
  const auto splits = [](double blocks, double tiles, double slots,
                         SplitRule rule = SplitRule::fa2) {
    return split_count({.blocks = blocks, .key_tiles = tiles, .slots = slots, .rule = rule});
  };
  // 80 % of the slots are taken: one split.
  CHECK(splits(108, 100, 132) == 1);
  CHECK(splits(106, 100, 132) == 1);
  // 8 blocks on 132 slots: 13 splits fill 104/132 = 0.788, 14 0.848, 15 0.909; 33 fill two waves
  // exactly. FA3 wants 0.85 of that: 15. FA2 skips 33 of 1024 tiles (32 a split, as with 32
  // splits); its best is 49 (392/396 = 0.990), and 0.85 of it is reached by 14.
  CHECK(splits(8, 1024, 132, SplitRule::fa3) == 15);
  CHECK(splits(8, 1024, 132) == 14);
  // With 20 key tiles 14 .. 19 splits leave two tiles each, as 10 splits do, and are skipped by
  // FA2: eligible are 1-7 and 10, 20. Best is 20 (160/264 = 0.61) or 10 (80/132 = 0.61): 10.
  CHECK(splits(8, 20, 132) == 10);
  // FA3 does not skip: best is 16 (0.970), 0.85 of it 0.824, reached by 14 (112/132 = 0.848).
  CHECK(splits(8, 20, 132, SplitRule::fa3) == 14);
  CHECK(splits(8, 4, 132, SplitRule::fa3) == 1);
  // One block, a long cache: the best fill is 128/132, 0.85 of it is reached by 109 splits. FA2
  // skips 109 and 110 (38 of 4096 tiles a split, as with 108) and takes 111.
  CHECK(splits(1, 4096, 132, SplitRule::fa3) == 109);
  CHECK(splits(1, 4096, 132) == 111);
  CHECK(splits(1, 1, 132) == 1);
}

TEST_CASE("FlashAttention-3 splits a long head by L2 size") {
  // 50 MiB: 256K tokens of bf16 at d 128 are 128 MiB, three splits
  CHECK(l2_split_count(Bytes{262144. * 512}, 2048, 132, false) == 3);
  CHECK(l2_split_count(Bytes{262144. * 512}, 100, 132, false) == 1);
  CHECK(l2_split_count(Bytes{262144. * 512}, 2048, 132, true) == 1);
  CHECK(l2_split_count(Bytes{65536. * 512}, 2048, 132, false) == 1);
}

TEST_CASE("KV bytes of the published table: 67.1 MB in every row, 134.2 in the last") {
  // Flash-Decoding blog: CodeLlama-34B on four GPUs, 16 query heads, 2 KV heads, d 128, fp16
  struct Row {
    double b, l, megabytes;
  };
  for (const Row r : {Row{256, 256, 67.1},
                      {64, 1024, 67.1},
                      {8, 8192, 67.1},
                      {1, 65536, 67.1},
                      {1, 131072, 134.2}}) {
    const AttentionShape x{.b = r.b, .s_kv = r.l, .h_q = 16, .h_kv = 2};
    const Work w = flash_decoding(x, {}, {.num_sms = 108}, {}).work;
    CHECK(w.read.kv.value / 1e6 == doctest::Approx(r.megabytes).epsilon(1e-3));
  }
}

TEST_CASE("64K at batch 1: 2 blocks unsplit leave 106 of 108 SMs idle, splits fill them") {
  // The kernel's own gain is 2300.6 / 64.4 us = 35.7x; "up to 8x" is whole-token generation.
  const AttentionShape x{.s_kv = 65536, .h_q = 16, .h_kv = 2};
  const OnChip a100{.num_sms = 108, .l2_effective = Bytes{29e6}};
  CHECK(gqa_decode(x, {}, a100, {}).work.ctas == 2);
  const Cost c = flash_decoding(x, {}, a100, {});
  CHECK(c.work.ctas >= 0.8 * 2 * 108);
  CHECK(c.work.ctas <= 2 * 128);
  CHECK(c.work.launches == 2);
}

TEST_CASE("combine traffic: 2·splits·b·h·s_q·4·(d + 1) bytes") {
  // L 8192, G 8, 16 splits: 3.1 % of the K/V bytes (2·splits·G / L), by hand
  const AttentionShape x{.s_kv = 8192, .h_q = 64, .h_kv = 8};
  const Cost one = flash_decoding(x, {}, {}, {.splits = 1});
  const Cost c = flash_decoding(x, {}, {}, {.splits = 16});
  const Bytes combine = c.work.hbm() - one.work.hbm();
  CHECK(combine.value == 2 * 16 * 64 * 4. * 129);
  CHECK(combine / c.work.read.kv == doctest::Approx(0.031).epsilon(0.02));
  CHECK(c.handed_over == combine);
  CHECK(c.work.exps - one.work.exps == 16 * 64);
}

TEST_CASE("a kernel whose four warps merge: weights and 1 / l by whole warps, at both ends") {
  // 8 rows of 128 columns, 4 a lane: 8 warps, each 4 weights and an inverse. 16 splits of 8 heads;
  // then 64 rows of a combine: 16 weights by one warp, and an inverse by one.
  const AttentionShape x{.s_kv = 8192, .h_q = 64, .h_kv = 8};
  const Tile papers{.m = 16, .n = 32}, kernel{.m = 16, .n = 32, .merged_warps = 4};
  const double more = flash_decoding(x, {}, {}, {.tile = kernel, .splits = 16}).work.exps -
                      flash_decoding(x, {}, {}, {.tile = papers, .splits = 16}).work.exps;
  CHECK(more == 8 * 16 * 8 * 32 * 5 + 64 * (32 + 32) - 64 * 16);
  // One row of 64 columns takes half of a warp, which runs whole.
  const AttentionShape mha{.s_kv = 8192, .h_q = 8, .h_kv = 8, .d_qk = 64, .d_v = 64};
  CHECK(flash_decoding(mha, {}, {}, {.tile = kernel, .splits = 1}).work.exps ==
        8 * 256 * (16 * 32 + 16) + 8 * 32 * 5);
}
