#include "model/attention/masked_mha.hpp"

#include <doctest/doctest.h>

#include "model/attention/gqa_decode.hpp"

using namespace kvroof;
using namespace kvroof::attention;

TEST_CASE("the heads of a group each pass over the cache, HBM gives it once") {
  const AttentionShape x{.b = 2, .s_kv = 1024, .h_q = 32, .h_kv = 8};
  const Work w = masked_mha(x, {.kv = Dtype::fp8}, {}, {}).work;
  const Work shared = gqa_decode(x, {.kv = Dtype::fp8}, {}, {}).work;
  const double cache = 2.0 * 8 * 1024 * 256;  // b·h_kv·s_kv·(d_qk + d_v) bytes at FP8
  CHECK(w.read.kv.value == cache);
  CHECK(w.flops == shared.flops);
  CHECK(w.l2_to_sm.value == 4 * cache + 2.0 * 32 * 128 * 2);  // four heads a group, and q
  CHECK(w.flops_executed == w.flops);                         // no tiles to pad
  CHECK(w.ctas == 2 * 32);
  // 2·6 FP32 operations for each of b·h_q·s_kv·256 elements at least.
  CHECK(w.fp32.value >= 12.0 * 2 * 32 * 1024 * 256);
}

TEST_CASE("one query head per K/V head: nothing is lost but the conversions") {
  const AttentionShape x{.s_kv = 4096, .h_q = 32, .h_kv = 32};
  const Work w = masked_mha(x, {}, {}, {}).work;
  CHECK(w.read.kv == gqa_decode(x, {}, {}, {}).work.read.kv);
  CHECK(w.l2_to_sm == gqa_decode(x, {}, {}, {}).work.l2_to_sm);
}
