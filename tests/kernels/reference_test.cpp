// The CPU oracles against values worked out by hand. Nothing here needs a GPU.
#include "kernels/reference.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace ref = kvroof::reference;
using doctest::Approx;

namespace {

/// One head, one request, d = 1: scores are q·k and can be chosen freely.
struct Scalars {
  std::vector<float> q, k, v;
  ref::Attention call() const {
    const auto s_q = static_cast<std::int64_t>(q.size()),
               s_kv = static_cast<std::int64_t>(k.size());
    return {.s_q = s_q,
            .s_kv = s_kv,
            .h_q = 1,
            .h_kv = 1,
            .q = q,
            .k = k,
            .v = v,
            .q_rows = ref::token_major(s_q, 1, 1),
            .k_rows = ref::token_major(s_kv, 1, 1),
            .v_rows = ref::token_major(s_kv, 1, 1)};
  }
};

}  // namespace

TEST_CASE("attention: softmax weights of scores 0, ln 2, ln 5 are 1/8, 2/8, 5/8") {
  const Scalars x{{1}, {0, std::log(2.0f), std::log(5.0f)}, {8, 16, 24}};
  const ref::AttentionRow row = ref::attention_row(x.call(), 0, 0, 0);
  CHECK(row.out[0] == Approx((8 + 2 * 16 + 5 * 24) / 8.0));  // 20
  CHECK(row.lse == Approx(std::log(8.0)));
}

TEST_CASE("attention: scale multiplies scores, scores of 1e4 do not overflow") {
  const Scalars x{{1e4f}, {1, 0}, {3, 7}};
  ref::Attention call = x.call();
  CHECK(ref::attention_row(call, 0, 0, 0).out[0] == 3);
  CHECK(ref::attention_row(call, 0, 0, 0).lse == 1e4);
  call.scale = std::log(3.0) / 1e4;  // weights 3/4, 1/4
  CHECK(ref::attention_row(call, 0, 0, 0).out[0] == Approx(4));
}

TEST_CASE("attention: masks") {
  const Scalars x{{0, 0}, {0, 0, 0, 0}, {1, 2, 4, 8}};  // equal scores: out = mean of visible v
  ref::Attention call = x.call();
  const auto out = [&](std::int64_t t) { return ref::attention_row(call, 0, t, 0).out[0]; };
  CHECK(out(0) == Approx(15 / 4.0));

  SUBCASE("causal: the two queries stand at positions 2 and 3") {
    call.causal = true;
    CHECK(out(0) == Approx(7 / 3.0));
    CHECK(out(1) == Approx(15 / 4.0));
  }
  SUBCASE("window 2 sees itself and its predecessor; one sink stays") {
    call.causal = true, call.window = 2;
    CHECK(out(0) == Approx((2 + 4) / 2.0));
    CHECK(out(1) == Approx((4 + 8) / 2.0));
    call.sinks = 1;
    CHECK(out(1) == Approx((1 + 4 + 8) / 3.0));
  }
  SUBCASE("tree: siblings do not see one another") {
    call.tree = {1, 0, 0, 1};  // keys 2 and 3 are the new tokens
    CHECK(out(0) == Approx((1 + 2 + 4) / 3.0));
    CHECK(out(1) == Approx((1 + 2 + 8) / 3.0));
  }
  SUBCASE("blocks of 1 query by 2 keys") {
    call.block_q = 1, call.block_k = 2, call.block_mask = {1, 0, 0, 1};
    CHECK(out(0) == Approx((1 + 2) / 2.0));
    CHECK(out(1) == Approx((4 + 8) / 2.0));
  }
  SUBCASE("nothing visible: zeros and -inf") {
    call.block_q = 1, call.block_k = 4, call.block_mask = {0, 1};
    CHECK(out(0) == 0);
    CHECK(ref::attention_row(call, 0, 0, 0).lse == -std::numeric_limits<double>::infinity());
  }
  SUBCASE("a learned sink of logit ln 4 doubles the denominator of four zeros") {
    call.sink_logit = {std::log(4.0)};
    CHECK(out(0) == Approx(15 / 8.0));
    CHECK(ref::attention_row(call, 0, 0, 0).lse == Approx(std::log(8.0)));
  }
  SUBCASE("soft cap: tanh saturates") {
    call.softcap = std::log(3.0);
    const std::vector<float> q{1e6f, 0}, k{1, 0, 0, 0};
    call.q = q, call.k = k;
    CHECK(out(0) == Approx((3 * 1 + 2 + 4 + 8) / 6.0));  // e^ln3 : 1 : 1 : 1
  }
}

TEST_CASE("attention: grouped heads, ragged requests, layouts and pages name the same rows") {
  // 2 query heads share 1 KV head. Request 0 has 1 key, request 1 has 3; scores are zero.
  const std::vector<float> q(4, 0.0f), k(4, 0.0f), v{5, 1, 2, 6};
  ref::Attention x{.b = 2,
                   .s_q = 1,
                   .s_kv = 3,
                   .h_q = 2,
                   .h_kv = 1,
                   .kv_lengths = {1, 3},
                   .q = q,
                   .k = k,
                   .v = v,
                   .q_rows = ref::token_major(1, 2, 1)};
  x.k_rows = x.v_rows = {.token_stride = 1, .head_stride = 1, .first_token = {0, 1, 4}};
  const ref::AttentionResult ragged = ref::attention(x, ref::token_major(1, 2, 1), 4);
  CHECK(ragged.out == std::vector<double>{5, 5, 3, 3});
  CHECK(ragged.lse[2] == Approx(std::log(3.0)));

  const std::vector<float> pages{6, -1, 5, -1, 1, 2};  // page 0, page 1 (request 0), page 2
  x.v = x.k = pages;
  x.k_rows = x.v_rows = {.token_stride = 1,
                         .head_stride = 1,
                         .table = {1, -1, 2, 0},
                         .max_pages = 2,
                         .page_size = 2,
                         .page_stride = 2};
  const std::vector<float> zero(6, 0.0f);
  x.k = zero;
  CHECK(ref::attention(x, ref::token_major(1, 2, 1), 4).out == ragged.out);

  CHECK(ref::token_major(10, 4, 8).row(1, 2, 3) == 1 * 320 + 2 * 32 + 3 * 8);
  CHECK(ref::head_major(10, 4, 8).row(1, 2, 3) == 1 * 320 + 3 * 80 + 2 * 8);
}

TEST_CASE("attention backward: two keys of equal score, by hand") {
  // P = (1/2, 1/2), dP = dO·v = (2, 6), delta = 4, dS = (-1, 1); q = 3, k = (1, 1) (equal scores).
  const Scalars x{{3}, {1, 1}, {1, 3}};
  const std::vector<float> d_out{2};
  const ref::AttentionGradient g =
      ref::attention_backward(x.call(), d_out, ref::token_major(1, 1, 1));
  CHECK(g.dq[0] == Approx(-1 * 1 + 1 * 1));
  CHECK(g.dk[0] == Approx(-3));
  CHECK(g.dk[1] == Approx(3));
  CHECK(g.dv[0] == Approx(1));
  CHECK(g.dv[1] == Approx(1));
}

TEST_CASE("attention backward agrees with a central difference of the forward pass") {
  std::vector<float> q{0.3f, -0.7f, 1.1f, 0.2f}, k{0.5f, 0.1f, -0.4f, 0.9f, 0.6f, -0.2f},
      v{1, -2, 0.5f, 3, -1, 0.25f};
  const std::vector<float> d_out{0.7f, -0.1f, 0.4f, 1.3f};
  ref::Attention x{.s_q = 2, .s_kv = 3, .d_qk = 2, .d_v = 2, .scale = 0.7, .causal = true};
  x.q_rows = ref::token_major(2, 1, 2), x.k_rows = x.v_rows = ref::token_major(3, 1, 2);
  const auto loss = [&] {
    x.q = q, x.k = k, x.v = v;
    const std::vector<double> out = ref::attention(x, x.q_rows, 4).out;
    double sum = 0;
    for (std::size_t i = 0; i < 4; ++i) sum += out[i] * d_out[i];
    return sum;
  };
  loss();
  const ref::AttentionGradient g = ref::attention_backward(x, d_out, x.q_rows);
  const auto slope = [&](float& at) {
    const float saved = at, h = 0x1p-8f;  // exact in float
    at = saved + h;
    const double up = loss(), up_at = at;
    at = saved - h;
    const double down = loss(), down_at = at;
    at = saved;
    return (up - down) / (up_at - down_at);
  };
  for (std::size_t i = 0; i < q.size(); ++i) CHECK(g.dq[i] == Approx(slope(q[i])).epsilon(1e-4));
  for (std::size_t i = 0; i < k.size(); ++i) CHECK(g.dk[i] == Approx(slope(k[i])).epsilon(1e-4));
  for (std::size_t i = 0; i < v.size(); ++i) CHECK(g.dv[i] == Approx(slope(v[i])).epsilon(1e-4));
}

TEST_CASE("attention backward of a P and an O that were kept, by hand") {
  // One query, two keys, d 1: P (1/4, 3/4) of a row of pitch 4, whatever softmax(q k) would be.
  const std::vector<float> q{2}, k{1, 5}, v{8, 4}, d_out{3}, p{0.25f, 0.75f, 9, 9};
  ref::Attention x{.s_q = 1, .s_kv = 2, .d_qk = 1, .d_v = 1, .scale = 0.5};
  x.q = q, x.k = k, x.v = v;
  x.q_rows = ref::token_major(1, 1, 1), x.k_rows = x.v_rows = ref::token_major(2, 1, 1);
  const ref::AttentionGradient g = ref::attention_backward(x, d_out, x.q_rows, {p, 4});
  // dP = (24, 12), P·dP = 15, dS = 1/2 (1/4 · 9, 3/4 · -3) = (9/8, -9/8)
  CHECK(g.dv[0] == Approx(0.75));
  CHECK(g.dv[1] == Approx(2.25));
  CHECK(g.dq[0] == Approx(9. / 8 * 1 - 9. / 8 * 5));
  CHECK(g.dk[0] == Approx(9. / 8 * 2));
  CHECK(g.dk[1] == Approx(-9. / 8 * 2));

  // Of an O that was kept as well, 6 instead of 5: dO·O = 18, dS = 1/2 (1/4 · 6, 3/4 · -6).
  const std::vector<float> o{6};
  const ref::AttentionGradient of_o = ref::attention_backward(x, d_out, x.q_rows, {p, 4, o});
  CHECK(of_o.dk[0] == Approx(0.75 * 2));
  CHECK(of_o.dk[1] == Approx(-2.25 * 2));
}

TEST_CASE("softmax, RMSNorm, RoPE, SwiGLU, GEMM by hand") {
  const std::vector<float> x{0, std::log(3.0f), 1000, 1000};
  const std::vector<double> p = ref::softmax(x, 2);
  CHECK(p[0] == Approx(0.25));
  CHECK(p[1] == Approx(0.75));
  CHECK(p[2] == 0.5);

  // mean of squares of (3, 4, 0, 5) is 12.5; epsilon 3.5 makes the root 4
  const std::vector<double> n =
      ref::rms_norm(std::vector<float>{3, 4, 0, 5}, std::vector<float>{1, 2, 3, 4}, 3.5);
  CHECK(n == std::vector<double>{0.75, 2, 0, 5});

  // position 1, theta 1: every pair turns by 1 radian
  const std::vector<std::int64_t> one{1};
  const std::vector<double> half = ref::rope(std::vector<float>{1, 2, 0, 0}, one, 1, 4, 1.0);
  CHECK(half[0] == Approx(std::cos(1.0)));
  CHECK(half[2] == Approx(std::sin(1.0)));
  CHECK(half[3] == Approx(2 * std::sin(1.0)));
  const std::vector<double> pairs = ref::rope(std::vector<float>{1, 0, 2, 0}, one, 1, 4, 1.0, true);
  CHECK(pairs[1] == Approx(std::sin(1.0)));
  CHECK(pairs[2] == Approx(2 * std::cos(1.0)));
  // the second pair of d = 4 at theta 1e4 turns by position / 100
  CHECK(ref::rope(std::vector<float>{0, 1, 0, 0}, std::vector<std::int64_t>{100}, 1, 4, 1e4)[3] ==
        Approx(std::sin(1.0)));

  // silu(ln 3) = ln 3 · 3/4
  CHECK(ref::swiglu(std::vector<float>{std::log(3.0f)}, std::vector<float>{4})[0] ==
        Approx(3 * std::log(3.0)));

  const std::vector<float> a{1, 2, 3, 4, 5, 6}, b{1, 0, 1, 0, 1, 0};  // [2, 3] · [2, 3]^T
  CHECK(ref::gemm(a, b, 2, 2, 3) == std::vector<double>{4, 2, 10, 5});
  CHECK(ref::gemm_element(a, b, 1, 0, 3, 0.5) == 5);
}
