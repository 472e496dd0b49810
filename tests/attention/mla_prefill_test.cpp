#include "model/attention/mla_prefill.hpp"

#include <doctest/doctest.h>

#include <utility>

using namespace kvroof;
using namespace kvroof::attention;

TEST_CASE("unabsorbed prefill is MHA with (192, 128): 2·S²·(192 + 128)·H, half when causal") {
  const AttentionShape x{
      .s_q = 4096, .s_kv = 4096, .h_q = 128, .h_kv = 128, .d_qk = 192, .d_v = 128};
  const Work w = mla_prefill(x, {}, {}, {.lse = false}).work;
  CHECK(w.flops.value == 4096. * 4096 * 320 * 128);
  CHECK(w.read.kv.value == 128. * 4096 * 320 * 2);
  CHECK(w.read.activations.value == 128. * 4096 * 192 * 2);
  CHECK(w.hbm_written().value == 128. * 4096 * 128 * 2);
}

TEST_CASE("fed by cp.async, Q takes its share of L2: more of a cut head is read again") {
  // 128 rows by 48 keys, two blocks an SM, 16K tokens of 16 heads, no mask. DRAM reads over
  // compulsory on an H200.
  const Tile tile{.m = 128, .n = 48, .ctas_per_sm = 2, .mma_sync = true};
  for (const auto& [s, seen] : {std::pair{2048, 1.012}, {4096, 1.048}, {8192, 1.119}}) {
    CAPTURE(s);
    const AttentionShape x{.b = 16384. / s,
                           .s_q = 1. * s,
                           .s_kv = 1. * s,
                           .h_q = 16,
                           .h_kv = 16,
                           .d_qk = 192,
                           .d_v = 128,
                           .causal = false};
    const Work w = mla_prefill(x, {}, {}, {.tile = tile}).work;
    CHECK((w.hbm_read() + w.reread) / w.hbm_read() == doctest::Approx(seen).epsilon(0.01));
  }
}

TEST_CASE("expanded K/V is in the activations' format whatever the cache holds") {
  const AttentionShape x{.s_q = 256, .s_kv = 512, .h_q = 16, .h_kv = 16, .d_qk = 192, .d_v = 128};
  CHECK(mla_prefill(x, {.kv = Dtype::fp8_per_token}, {}, {}).work ==
        mla_prefill(x, {}, {}, {}).work);
}
