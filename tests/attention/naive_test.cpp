#include "model/attention/naive.hpp"

#include <doctest/doctest.h>

using namespace kvroof;
using namespace kvroof::attention;

namespace {
constexpr OnChip kChip{.num_sms = 108, .l2_effective = Bytes{29e6}};
constexpr Formats kFp16{.act = Dtype::fp16, .kv = Dtype::fp16, .math = MathType::fp16};
constexpr Formats kFp32{.act = Dtype::fp32, .kv = Dtype::fp32, .math = MathType::fp32};
}  // namespace

TEST_CASE("naive attention moves 4N² + 4Nd elements a head") {
  // arXiv:2205.14135 Algorithm 0: read Q, K, write S; read S, write P; read P, V, write O.
  const double n = 1024, d = 64;
  const Cost c =
      naive({.s_q = n, .s_kv = n, .d_qk = d, .d_v = d, .causal = false}, kFp16, kChip, {});
  CHECK(c.work.hbm().value == 2 * (4 * n * n + 4 * n * d));
  CHECK(c.work.flops.value == 4 * n * n * d);
  CHECK(c.work.exps == n * n);
  CHECK(c.work.launches == 3);
}

TEST_CASE("the claim 'N 2048, d 64, fp32: 64 MiB and 16 flop/B'") {
  // 4N²·4 B = 67,108,864 B; with Q, K, V and O 66 MiB and 15.5 flop/B. Both by hand.
  const Cost c =
      naive({.s_q = 2048, .s_kv = 2048, .d_qk = 64, .d_v = 64, .causal = false}, kFp32, kChip, {});
  const Bytes q_k_v_o{4. * 2048 * 64 * 4};
  CHECK((c.work.hbm() - q_k_v_o).value == 67108864.0);
  CHECK(c.work.flops / (c.work.hbm() - q_k_v_o) == Intensity{16});
  CHECK(c.work.intensity().value == doctest::Approx(15.515).epsilon(1e-4));
}

TEST_CASE("one fp16 score matrix at N = 32K is 2 GiB per head, not per layer") {
  const auto written = [](double heads) {
    const AttentionShape x{.s_q = 32768, .s_kv = 32768, .h_q = heads, .h_kv = heads};
    return naive_scores(x, kFp16, kChip, Tile{}).work.written.activations.value;
  };
  CHECK(written(1) == 2147483648.0);
  CHECK(written(32) == doctest::Approx(68.7e9).epsilon(1e-3));
}

TEST_CASE("naive executes the whole causal square") {
  const AttentionShape x{.s_q = 4096, .s_kv = 4096};
  const Cost c = naive(x, kFp16, kChip, {});
  CHECK(c.work.flops_executed / c.work.flops == 2);
}

TEST_CASE("backward: 7N² + 8Nd elements and four products; unfused passes add 2N² each") {
  const double n = 1024, d = 64;
  const AttentionShape x{.s_q = n, .s_kv = n, .d_qk = d, .d_v = d, .causal = false};
  const Cost c = naive(x, kFp16, kChip, {.backward = true});
  CHECK(c.work.hbm().value == 2 * (7 * n * n + 8 * n * d));
  CHECK(c.work.flops.value == 8 * n * n * d);
  const Cost dropout = naive(x, kFp16, kChip, {.backward = true, .unfused_passes = 1});
  CHECK((dropout.work.hbm() - c.work.hbm()).value == 2 * 2 * n * n);
}

TEST_CASE("scores small enough for L2 are handed over, larger ones are not") {
  const auto kept = [](double heads) {
    const AttentionShape x{.s_q = 1024, .s_kv = 1024, .h_q = heads, .h_kv = heads};
    return naive(x, kFp16, kChip, {}).handed_over.value;
  };
  CHECK(kept(4) == 4 * 4 * 2. * 1024 * 1024);  // 8.4 MB of scores, passed four times
  CHECK(kept(64) == 0);                        // 134 MB
}

TEST_CASE("scores that P overwrites in L2 are written to HBM once") {
  // Counters of an H200, h_q 8, d 128: 5.25 MB at s 512 (P 4.19, O 1.05), 18.88 MB at s 1024
  // (P 16.78, O 2.10); at b 32, h_q 16, s 512 all 604.0 MB.
  struct Row {
    double b, h_q, s, seen;
  };
  for (const Row& r :
       {Row{1, 8, 512, 5.25e6}, Row{1, 8, 1024, 18.88e6}, Row{32, 16, 512, 604.0e6}}) {
    const AttentionShape x{.b = r.b,
                           .s_q = r.s,
                           .s_kv = r.s,
                           .h_q = r.h_q,
                           .h_kv = r.h_q,
                           .d_qk = 128,
                           .d_v = 128,
                           .causal = false};
    const Cost c = naive(x, {}, {.num_sms = 132, .l2_effective = Bytes{32.97e6}}, {});
    const Bytes reaches = c.work.hbm_written() - c.kept.written;
    CHECK(reaches.value == doctest::Approx(r.seen).epsilon(0.002));
  }
}

TEST_CASE("backward: what the tiles of the four products ask of L2") {
  // One head of 256 x 256 scores, d 64, tiles of 128 x 64: scores 131,072 bytes, q, k, v, o 32,768.
  // dP: dO for 4 key tiles, V for 2 row tiles. dV, dK: dO and q for 4 blocks of 64 keys. dQ: K for
  // 4 blocks of 64 rows. P, dS and dS once each; the row pass reads P and dP.
  const AttentionShape x{.s_q = 256, .s_kv = 256, .d_qk = 64, .d_v = 64, .causal = false};
  const Work w = naive(x, kFp16, kChip, {.tile = Tile{.m = 128, .n = 64}, .backward = true}).work;
  CHECK(w.l2_to_sm.value == (4 + 2 + 4 + 4 + 4) * 32768. + (3 + 2) * 131072.);
}
