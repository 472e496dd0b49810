#include "model/attention/mla_decode.hpp"

#include <doctest/doctest.h>

#include <utility>

#include "model/attention/gqa_decode.hpp"

using namespace kvroof;
using namespace kvroof::attention;

namespace {
// DeepSeek-V3: 128 heads, latent 512 + 64
constexpr AttentionShape kDeepSeek{.s_kv = 8192, .h_q = 128, .h_kv = 1, .d_qk = 576, .d_v = 512};
}  // namespace

TEST_CASE("cache bytes of a token: 1152 in bf16, 656 in FP8 with scales") {
  // deepseek-ai/FlashMLA README: 512 e4m3 + 4 fp32 scales + 64 bf16
  CHECK(mla_token_bytes(512, 64, Dtype::bf16).value == 1152);
  CHECK(mla_token_bytes(512, 64, Dtype::fp8_per_token).value == 656);
  CHECK(mla_token_bytes(512, 64, Dtype::fp8).value == 576);
  // 128K tokens over 62 layers in bf16: 8.72 GiB
  CHECK(131072 * 62 * mla_token_bytes(512, 64, Dtype::bf16).value / gibi ==
        doctest::Approx(8.72).epsilon(1e-3));
}

TEST_CASE("intensity: 241.8 flop/B in bf16, 424.6 in FP8") {
  // deepseek-ai/FlashMLA, kernel deep dive: h_q·s_q·(d_qk + d_v) / d_qk
  const Work bf16 = mla_decode(kDeepSeek, {}, {}, {}).work;
  CHECK((bf16.flops / bf16.read.kv).value == doctest::Approx(241.8).epsilon(1e-4));
  const Work fp8 = mla_decode(kDeepSeek, {.kv = Dtype::fp8_per_token}, {}, {}).work;
  CHECK((fp8.flops / fp8.read.kv).value == doctest::Approx(424.6).epsilon(1e-4));
  AttentionShape verify = kDeepSeek;
  verify.s_q = 2;
  const Work two = mla_decode(verify, {}, {}, {}).work;
  CHECK((two.flops / two.read.kv).value == doctest::Approx(2 * 241.8).epsilon(1e-4));
}

TEST_CASE("the latent is 576 elements a token, MHA of the same shape 32768: 56.9x") {
  // arXiv:2405.04434 Table 1 at 128 heads of 128; against GQA-8 it is 2048 / 576 = 3.56x
  const auto elements = [](const Work& w) { return w.read.kv.value / 2 / 8192; };
  const double mla = elements(mla_decode(kDeepSeek, {}, {}, {}).work);
  const double mha = elements(gqa_decode({.s_kv = 8192, .h_q = 128, .h_kv = 128}, {}, {}, {}).work);
  const double gqa = elements(gqa_decode({.s_kv = 8192, .h_q = 128, .h_kv = 8}, {}, {}, {}).work);
  CHECK(mla == 576);
  CHECK(mha == 32768);
  CHECK(mha / mla == doctest::Approx(56.9).epsilon(1e-3));
  CHECK(gqa / mla == doctest::Approx(3.56).epsilon(2e-3));
}

TEST_CASE("a block of 64 heads spends 34 cycles a token on Hopper's tensor cores") {
  // deepseek-ai/FlashMLA: 64·1088·2 / 4096; two blocks read each token of a 128-head request
  const Work w = mla_decode(kDeepSeek, {}, {}, {.splits = 1}).work;
  CHECK(w.ctas == 2);
  CHECK(w.flops_executed.value / 4096 / 8192 / w.ctas == 34);
  CHECK(w.l2_to_sm - w.read.activations == 2 * w.read.kv);
}

TEST_CASE("a cluster of two that multicasts reads each token from L2 once") {
  const DecodePlan plan{.tile = {.m = 64, .n = 64, .overlap = 1},
                        .even = EvenRanges{.ctas = 2, .multicast = 2}};
  const Work w = mla_decode_planned(kDeepSeek, {}, {}, plan).work;
  CHECK(w.l2_to_sm - w.read.activations == w.read.kv);
  CHECK(w.multicast == w.read.kv);  // and the second block receives it too
  CHECK(w.ctas == 2);
  CHECK(w.launches == 1);
}

TEST_CASE("pieces load q by tiles, and of partial results the merge reads rows that exist") {
  // 16 heads in tiles of 64 rows; a stream in three pieces: 3·64 rows of 1152 bytes of q asked of
  // L2, 3·64 rows of 513 fp32 written, 3·16 of them read back
  const AttentionShape x{.s_kv = 8192, .h_q = 16, .h_kv = 1, .d_qk = 576, .d_v = 512};
  const DecodePlan plan{.tile = {.m = 64, .n = 64, .overlap = 1},
                        .even = EvenRanges{.partial_rows = 192, .merged_rows = 48, .q_rows = 192}};
  const Work w = mla_decode_planned(x, {}, {}, plan).work;
  CHECK((w.l2_to_sm - w.read.kv).value == 192 * 1152 + 48 * 513 * 4);
  CHECK(w.hbm_written().value == 16 * 512 * 2 + 192 * 513 * 4);
}

TEST_CASE("partial results of equal ranges: 513 fp32 a row, written and read") {
  // two pieces of 128 rows: 2·128·(512 + 1)·4 = 525,312 bytes each way, beside q and o
  const DecodePlan whole{.tile = {.m = 64, .n = 64, .overlap = 1}, .even = EvenRanges{}};
  DecodePlan cut = whole;
  cut.even->partial_rows = 256;
  const Work a = mla_decode_planned(kDeepSeek, {}, {}, whole).work,
             b = mla_decode_planned(kDeepSeek, {}, {}, cut).work;
  CHECK((b.hbm_written() - a.hbm_written()).value == 525312);
  CHECK((b.hbm_read() - a.hbm_read()).value == 525312);
  CHECK(b.launches == 2);
}

TEST_CASE("partial results written long before the merge have left L2") {
  // 64 caches of 64 key tiles in 132 equal ranges of 31.03: 64 + 131 = 195 pieces of 64 rows, of
  // which 132 end with the kernel and 63 while the cache streams on. DRAM reads on an H200: 318.0
  // MB of 306.7 in bf16, 620.9 of 608.7 at twice the length.
  const DecodePlan plan{.tile = {.m = 64, .n = 64, .overlap = 1},
                        .even = EvenRanges{.partial_rows = 195 * 64, .ctas = 132}};
  for (const auto& [s_kv, measured] : {std::pair{4096., 317.96e6}, {8192., 620.90e6}}) {
    const AttentionShape x{
        .b = 64, .s_q = 1, .s_kv = s_kv, .h_q = 64, .h_kv = 1, .d_qk = 576, .d_v = 512};
    const Cost c = mla_decode_planned(x, {}, {}, plan);
    const double cache = 64 * s_kv * 1152, q = 64 * 64 * 1152, early = 63 * 64 * 2052.;
    const double read = (c.work.hbm_read() - c.handed_over / 2).value;
    CHECK(read == doctest::Approx(cache + q + early).epsilon(1e-6));
    CHECK(read == doctest::Approx(measured).epsilon(0.01));
  }
}

namespace {

BalancedSplit split_of(std::vector<int> tiles, int workers, int cut_cost) {
  return balanced_split(tiles, workers, cut_cost);
}

constexpr MlaKernel kRound{.step = 1000, .start = 500, .tile = Bytes{20000}};

}  // namespace

TEST_CASE("cycles of whole streams: steps, and q and o by an SM's share of HBM") {
  // Ten streams of 8 tiles on ten SMs: 20 bytes a clock each, 20000 / 20 = a step. 16 rows of q and
  // of o: 16·1152 / 20 + 16·1024 / 20.
  const auto full =
      mla_cycles(split_of(std::vector<int>(10, 8), 10, 0), kRound, 16, 1, {.num_sms = 10});
  CHECK(full.tiles == 8000);
  CHECK(full.fill == doctest::Approx(500 + 921.6 + 819.2));
  // Five of them: 40 bytes a clock, so that the step binds; one: never more than 64.
  const auto five =
      mla_cycles(split_of(std::vector<int>(5, 8), 5, 0), kRound, 16, 1, {.num_sms = 10});
  CHECK(five.tiles == 8000);
  CHECK(five.fill == doctest::Approx(500 + 460.8 + 409.6));
  const auto one = mla_cycles(split_of({8}, 1, 0), kRound, 16, 1, {.num_sms = 10});
  CHECK(one.fill == doctest::Approx(500 + 16 * (1152 + 1024) / 64.));
  // Clusters of two: five of them are ten SMs.
  const auto pairs =
      mla_cycles(split_of(std::vector<int>(5, 8), 5, 0), kRound, 64, 2, {.num_sms = 10});
  CHECK(pairs.fill == doctest::Approx(500 + 64 * (1152 + 1024) / 20.));
}

TEST_CASE("where HBM gives a block less than a step asks for, its bytes set the pace") {
  MlaKernel wide = kRound;
  wide.tile = Bytes{50000};  // 2500 cycles at 20 bytes a clock
  const auto c = mla_cycles(split_of(std::vector<int>(10, 8), 10, 0), wide, 16, 1, {.num_sms = 10});
  CHECK(c.tiles == 8 * 2500);
}

TEST_CASE("cut streams: 7000 cycles to change to the next piece, partial results of all 64 rows") {
  // Three streams of 4 tiles in two ranges of 6: a whole stream and half of the next, then the
  // other half and a whole one. Two pieces each; the first worker ends with a partial result of
  // 64·2048 bytes at 32 a clock, the second with 16 rows of o at 64.
  const auto c = mla_cycles(split_of({4, 4, 4}, 2, 0), kRound, 16, 1, {.num_sms = 10});
  CHECK(c.tiles == 6 * 1000 + 7000);
  CHECK(c.fill == doctest::Approx(500 + 16 * 1152 / 64. + 4096));
}

TEST_CASE("a merge waits for L2 once for every lot of pieces, or for its bytes") {
  const OnChip ten{.num_sms = 10};
  // 3 and 4 pieces are one lot of four: 600 + 4·65; 17 and 32 two lots of 16.
  CHECK(merge_cycles(3, 4, {}, ten) == 860);
  CHECK(merge_cycles(4, 4, {}, ten) == 860);
  CHECK(merge_cycles(17, 16, {}, ten) == 2 * 1640);
  CHECK(merge_cycles(32, 16, {}, ten) == 2 * 1640);
  // 17 bytes a clock of each of ten SMs: 1.7 MB are 10,000 cycles.
  CHECK(merge_cycles(17, 16, Bytes{1.7e6}, ten) == doctest::Approx(10000));
}
