// Backward kernels against the oracle: one token, ragged tails, grouped heads, rows that see
// nothing, then random shapes; both formats.
#include "tests/kernels/check.hpp"

using namespace kvroof::kernels;

namespace {

std::vector<Args> backward_shapes(std::initializer_list<double> head_sizes, int random_count) {
  std::vector<Args> shapes;
  for (const double d : head_sizes) {
    shapes.push_back({{"h_q", 1}, {"s_q", 1}, {"s_kv", 1}, {"d", d}});
    shapes.push_back({{"h_q", 2}, {"s_q", 1}, {"s_kv", 300}, {"d", d}});
    shapes.push_back({{"h_q", 4}, {"h_kv", 2}, {"s_q", 200}, {"s_kv", 333}, {"d", d}});
    shapes.push_back({{"h_q", 1}, {"s_q", 150}, {"s_kv", 70}, {"d", d}});
    shapes.push_back({{"b", 2}, {"h_q", 2}, {"s_q", 128}, {"d", d}, {"causal", 0}});
    shapes.push_back({{"h_q", 2}, {"s_q", 129}, {"s_kv", 257}, {"d", d}, {"sigma", 3}});
  }
  for (int i = 0; i < random_count; ++i) {
    const double h_kv = between(1, 3);
    shapes.push_back({{"b", between(1, 2)},
                      {"h_q", h_kv * between(1, 3)},
                      {"h_kv", h_kv},
                      {"s_q", between(1, 400)},
                      {"s_kv", between(1, 500)},
                      {"d", one_of(head_sizes)},
                      {"causal", one_of({0, 1})},
                      {"sigma", one_of({0.5, 1, 3})}});
  }
  return shapes;
}

}  // namespace

TEST_CASE("flash_backward") { check_all("flash_backward", backward_shapes({64, 128, 256}, 22)); }

TEST_CASE("flash_backward_fp16") {
  std::vector<Args> shapes = backward_shapes({64, 128, 256}, 22);
  for (Args& x : shapes) x["fp16"] = 1;
  check_all("flash_backward", shapes);
}

TEST_CASE("naive_backward") {
  std::vector<Args> shapes = backward_shapes({64, 128}, 20);
  // dP in memory is rounded to 2^-9 of itself, and dS = P (dP - rowsum(P dP)) of rows that see one
  // key is the difference of two such: no large scores.
  for (Args& x : shapes) x["sigma"] = 1;
  check_all("naive_backward", shapes);
}
