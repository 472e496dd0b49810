#include "model/attention/mla_prefill.hpp"

#include <doctest/doctest.h>

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

TEST_CASE("expanded K/V is in the activations' format whatever the cache holds") {
  const AttentionShape x{.s_q = 256, .s_kv = 512, .h_q = 16, .h_kv = 16, .d_qk = 192, .d_v = 128};
  CHECK(mla_prefill(x, {.kv = Dtype::fp8_per_token}, {}, {}).work ==
        mla_prefill(x, {}, {}, {}).work);
}
