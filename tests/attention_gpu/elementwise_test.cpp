// Elementwise kernels against the oracle: one token, ragged widths, large values, then random
// shapes; each fused and not.
#include "tests/kernels/check.hpp"

using namespace kvroof::kernels;

namespace {

/// Each shape with fused 1 and 0.
std::vector<Args> both_ways(const std::vector<Args>& shapes) {
  std::vector<Args> all;
  for (const Args& shape : shapes)
    for (const double fused : {1., 0.}) {
      all.push_back(shape);
      all.back()["fused"] = fused;
    }
  return all;
}

/// Small networks, with and without lm_head, up to `b` requests of `tokens`.
std::vector<Args> networks(int b, int tokens, int layers) {
  std::vector<Args> shapes;
  for (int i = 0; i < 10; ++i) {
    const double h_kv = between(1, 3), d = one_of({64, 128});
    shapes.push_back({{"b", between(1, b)},
                      {"s_kv", between(1, tokens)},
                      {"layers", between(1, layers)},
                      {"d_model", 64 * between(1, 6)},
                      {"h_q", h_kv * between(1, 5)},
                      {"h_kv", h_kv},
                      {"d", d},
                      {"d_ff", 64 * between(1, 8)},
                      {"vocab", one_of({0, 8 * between(1, 300)})}});
  }
  return shapes;
}

}  // namespace

TEST_CASE("rms_norm") {
  std::vector<Args> shapes{{{"tokens", 1}, {"d", 8}},
                           {{"tokens", 1}, {"d", 16384}, {"sigma", 100}},
                           {{"tokens", 5000}, {"d", 136}, {"residual", 0}},
                           {{"tokens", 3}, {"d", 4096}, {"sigma", 1e-3}}};
  for (int i = 0; i < 20; ++i)
    shapes.push_back({{"tokens", between(1, 700)},
                      {"d", 8 * between(1, 1500)},
                      {"residual", one_of({0, 1, 1})},
                      {"sigma", one_of({0.1, 1, 30})}});
  check_all("rms_norm", both_ways(shapes));
}

TEST_CASE("swiglu") {
  std::vector<Args> shapes{{{"tokens", 1}, {"d_ff", 8}},
                           {{"tokens", 2}, {"d_ff", 28672}, {"sigma", 100}},
                           {{"tokens", 1}, {"d_ff", 2056}}};
  for (int i = 0; i < 20; ++i)
    shapes.push_back({{"tokens", between(1, 200)},
                      {"d_ff", 8 * between(1, 2000)},
                      {"sigma", one_of({1, 3, 30})}});
  check_all("swiglu", both_ways(shapes));
}

TEST_CASE("rope_append") {
  std::vector<Args> shapes{{{"tokens", 1}, {"h_q", 1}, {"h_kv", 1}, {"d", 64}},
                           {{"tokens", 100}, {"s_q", 100}, {"block_size", 8}},
                           {{"tokens", 7}, {"context", 131072}},
                           {{"tokens", 33}, {"h_q", 96}, {"h_kv", 96}, {"d", 256}}};
  for (int i = 0; i < 20; ++i) {
    const double h_kv = between(1, 8);
    shapes.push_back({{"tokens", between(1, 300)},
                      {"s_q", one_of({1, 1, 17})},
                      {"h_q", h_kv * between(1, 8)},
                      {"h_kv", h_kv},
                      {"d", one_of({16, 64, 128, 256})},
                      {"block_size", one_of({8, 16, 64, 256})}});
  }
  check_all("rope_append", both_ways(shapes));
}

TEST_CASE("decode_step") { check_all("decode_step", both_ways(networks(20, 300, 3))); }

// Rounding adds up from layer to layer: 1.01e-2 was seen at three.
TEST_CASE("prefill_step") { check_all("prefill_step", both_ways(networks(3, 200, 2))); }
