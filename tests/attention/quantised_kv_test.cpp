#include "model/attention/quantised_kv.hpp"

#include <doctest/doctest.h>

#include "model/attention/flash_decoding.hpp"

using namespace kvroof;
using namespace kvroof::attention;

namespace {
constexpr AttentionShape kShape{.b = 16, .s_kv = 8192, .h_q = 64, .h_kv = 8};

double kv_bytes(Dtype kv, double recent = 0) {
  return quantised_kv(kShape, {.kv = kv}, {}, {.high_precision = recent}).work.read.kv.value;
}
}  // namespace

TEST_CASE("bytes per element with scales, against bf16") {
  // Bits by definition: fp8 8; int8 and fp8 with one fp32 scale a head and token of 128: 8.25; int4
  // group 128 with fp16 scale and 4-bit zero 4.156; nvfp4 8/16 more than 4; mxfp4 8/32 more.
  const double bf16 = kv_bytes(Dtype::bf16);
  CHECK(bf16 == 16. * 8192 * 8 * 256 * 2);
  CHECK(bf16 / kv_bytes(Dtype::fp8) == 2);
  CHECK(bf16 / kv_bytes(Dtype::fp8_per_token) == doctest::Approx(16 / 8.25));
  CHECK(bf16 / kv_bytes(Dtype::int8_per_token) == doctest::Approx(1.94).epsilon(1e-3));
  CHECK(bf16 / kv_bytes(Dtype::int4_g128) == doctest::Approx(16 / 4.15625));
  CHECK(kv_bytes(Dtype::nvfp4) / kv_bytes(Dtype::fp8) == 0.5625);  // "half of FP8" is 1.78x, not 2x
  CHECK(bf16 / kv_bytes(Dtype::mxfp4) == doctest::Approx(16 / 4.25));
}

TEST_CASE("recent tokens in high precision") {
  // 512 of 8192 tokens in bf16: 512·2 + 7680·0.5625 bytes an element column
  CHECK(kv_bytes(Dtype::nvfp4, 512) == doctest::Approx(16 * 8 * 256 * (512 * 2 + 7680 * 0.5625)));
  CHECK(kv_bytes(Dtype::nvfp4, 1e9) == kv_bytes(Dtype::bf16));
}

TEST_CASE("the newest tokens run through tiles of their own kernel") {
  // 16 x 8 heads; 4 rows padded to 8 over 1920 keys, to 16 over 128; an H200 counted 1.141 GFLOP
  const AttentionShape x{.b = 16, .s_kv = 2048, .h_q = 32, .h_kv = 8};
  const Tile narrow{.m = 8, .n = 32, .mma_rows = 8}, wide{.m = 16, .n = 16, .mma_rows = 16};
  const Work w =
      quantised_kv(x, {.kv = Dtype::int4_g128, .math = MathType::fp16}, {},
                   {.tile = narrow, .splits = 5, .high_precision = 128, .recent_tile = wide})
          .work;
  CHECK(w.flops_executed.value == 16 * 8 * (1920. * 8 + 128 * 16) * 2 * 256);
}

TEST_CASE("dequantisation is FP32 work, unless the tensor cores take the format") {
  const Work bf16 = quantised_kv(kShape, {}, {}, {.splits = 1}).work;
  CHECK(bf16 == flash_decoding(kShape, {}, {}, {.splits = 1}).work);
  const double elements = 16. * 8192 * 8 * 256;
  const Work fp8 = quantised_kv(kShape, {.kv = Dtype::fp8}, {}, {.splits = 1}).work;
  CHECK((fp8.fp32 - bf16.fp32).value >= elements);
  CHECK((fp8.fp32 - bf16.fp32).value <= 20 * elements);
  const Formats native{.act = Dtype::fp8, .kv = Dtype::fp8, .math = MathType::fp8};
  CHECK(quantised_kv(kShape, native, {}, {.splits = 1}).work.fp32 == bf16.fp32);
  CHECK(fp8.flops_executed == bf16.flops_executed);
}

TEST_CASE("K in fp8 and V in int4: 128 + 66.5 bytes a token and head") {
  const AttentionShape x{.b = 2, .s_kv = 1000, .h_q = 32, .h_kv = 8};
  const Work w = quantised_kv(x, {.kv = Dtype::fp8}, {}, {.v_format = Dtype::int4_g128}).work;
  CHECK(w.read.kv.value == 2 * 8 * 1000 * (128 + 66.5));
  const Work both = quantised_kv(x, {.kv = Dtype::int4_g128}, {}, {}).work;
  CHECK(both.read.kv.value == 2 * 8 * 1000 * 133);
}
