#include "model/attention/gqa_decode.hpp"

#include <doctest/doctest.h>

using namespace kvroof;
using namespace kvroof::attention;

namespace {
constexpr OnChip kH200{};
}

TEST_CASE("GQA cuts KV bytes by h_q / h_kv and leaves the FLOPs") {
  struct Row {
    AttentionShape x;
    double flops, kv_bytes, flop_per_byte;
  };
  // 2·b·h_q·s_q·s_kv·(d_qk + d_v) and b·h_kv·s_kv·(d_qk + d_v)·2 by hand;
  // arXiv:2305.13245 section 2
  const Row rows[] = {
      {{.s_kv = 8192, .h_q = 64, .h_kv = 8}, 268435456., 33554432., 8},
      {{.s_kv = 8192, .h_q = 64, .h_kv = 64}, 268435456., 268435456., 1},
      {{.s_kv = 8192, .h_q = 64, .h_kv = 1}, 268435456., 4194304., 64},
      {{.s_kv = 8192, .h_q = 32, .h_kv = 8}, 134217728., 33554432., 4},
      {{.s_q = 4, .s_kv = 8192, .h_q = 32, .h_kv = 8}, 536870912., 33554432., 16},
  };
  for (const Row& r : rows) {
    const Work w = gqa_decode(r.x, {}, kH200, {}).work;
    CHECK(w.flops.value == r.flops);
    CHECK(w.read.kv.value == r.kv_bytes);
    CHECK(w.flops / w.read.kv == Intensity{r.flop_per_byte});
  }
}

TEST_CASE("fp8 K/V doubles the intensity") {
  const AttentionShape x{.s_kv = 8192, .h_q = 64, .h_kv = 8};
  const Work w = gqa_decode(x, {.kv = Dtype::fp8}, kH200, {}).work;
  CHECK(w.flops / w.read.kv == Intensity{16});
}

TEST_CASE("the decode rows of the reference kernels: KV in MB") {
  // bf16, d 128: b·h_kv·L·512 B
  const auto megabytes = [](double b, double h_kv, double l) {
    return gqa_decode({.b = b, .s_kv = l, .h_q = 8 * h_kv, .h_kv = h_kv}, {}, kH200, {})
               .work.read.kv.value /
           1e6;
  };
  CHECK(megabytes(32, 8, 8192) == doctest::Approx(1073.7).epsilon(1e-4));
  CHECK(megabytes(1, 8, 131072) == doctest::Approx(536.9).epsilon(1e-4));
  CHECK(megabytes(1, 1, 131072) == doctest::Approx(67.1).epsilon(1e-3));  // "64 MB per head": MiB
}

TEST_CASE("decode writes its output only: the cache append is another op") {
  const Work w = gqa_decode({.b = 4, .s_kv = 100, .h_q = 8, .h_kv = 2}, {}, kH200, {}).work;
  CHECK(w.written.kv == Bytes{});
  CHECK(w.hbm_written().value == 4 * 8 * 128 * 2);
  CHECK(w.read.activations.value == 4 * 8 * 128 * 2);
}

TEST_CASE("a packed group reads K/V once from L2, a block per query head reads it G times") {
  const AttentionShape x{.b = 2, .s_kv = 4096, .h_q = 32, .h_kv = 8};
  const Work packed = gqa_decode(x, {}, kH200, {}).work;
  const Work apart = gqa_decode(x, {}, kH200, {.packed_group = false}).work;
  CHECK(packed.l2_to_sm - packed.read.activations == packed.read.kv);
  CHECK(apart.l2_to_sm - apart.read.activations == 4 * packed.read.kv);
  CHECK(apart.read == packed.read);
  CHECK(packed.ctas == 16);
  CHECK(apart.ctas == 64);
}

TEST_CASE("a sliding layer reads no more than its window") {
  const Work w =
      gqa_decode({.s_kv = 32768, .h_q = 32, .h_kv = 8, .window = 4096}, {}, kH200, {}).work;
  CHECK(w.read.kv.value == 4096. * 8 * 256 * 2);
  CHECK(w.flops.value == 2. * 32 * 4096 * 256);
}
