#include "model/attention/sparse_topk.hpp"

#include <doctest/doctest.h>

#include "model/attention/mla_decode.hpp"

using namespace kvroof;
using namespace kvroof::attention;

namespace {
// DeepSeek-V3.2: 128 heads on a latent of 512 + 64, indexer of 64 heads of 128, top 2048
constexpr AttentionShape kDeepSeek{
    .b = 4, .s_kv = 131072, .h_q = 128, .h_kv = 1, .d_qk = 576, .d_v = 512};
constexpr Formats kFp8Latent{.kv = Dtype::fp8_per_token};
}  // namespace

TEST_CASE("attention reads top_k tokens, the indexer 132 bytes of all of them") {
  const Work w = sparse_topk(kDeepSeek, kFp8Latent, {}, {}).work;
  // 656-byte tokens lie apart: 21 sectors = 672 bytes
  CHECK(w.read.kv.value == 4 * (2048. * 672 + 131072. * 132));
  CHECK(w.flops.value == 4 * (2 * 128 * 2048. * 1088 + 2 * 64 * 128 * 131072.));
  const Work dense = mla_decode(kDeepSeek, kFp8Latent, {}, {}).work;
  CHECK(dense.read.kv / w.read.kv == doctest::Approx(656 / (132 + 672 / 64.)).epsilon(1e-3));
}

TEST_CASE("past top_k the attention part no longer grows") {
  const auto attention = [](double s_kv) {
    AttentionShape x = kDeepSeek;
    x.s_kv = s_kv;
    return sparse_topk(x, {}, {}, {.index_heads = 0, .index_dim = 0}).work;
  };
  CHECK(attention(65536).flops == attention(4096).flops);
  CHECK(attention(1024).flops < attention(4096).flops);
}

TEST_CASE("a prompt reads each cached token at most once from HBM") {
  AttentionShape x = kDeepSeek;
  x.s_q = x.s_kv = 4096;
  const Work w = sparse_topk(x, {}, {}, {}).work;
  CHECK(w.read.kv.value == doctest::Approx(4 * 4096. * (1152 + 132)));
  CHECK(w.l2_to_sm.value > 4 * 4096. * 2048 * 1152);  // but every query gathers its own 2048
}
