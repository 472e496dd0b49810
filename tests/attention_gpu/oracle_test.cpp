// Every attention kernel against the double-precision oracle:
// the corners by name, then random shapes.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tests/kernels/check.hpp"

using namespace kvroof::kernels;

namespace {

/// Corners of a prefill kernel: one token, one block, ragged tails, more queries than keys (rows
/// that see nothing), a continued prefill, scores so large that one key takes all.
std::vector<Args> prefill_shapes(const std::vector<double>& head_sizes, int random_count) {
  std::vector<Args> shapes;
  for (const double d : head_sizes) {
    shapes.push_back({{"h_q", 2}, {"h_kv", 1}, {"s_q", 200}, {"s_kv", 333}, {"d", d}});
    shapes.push_back({{"h_q", 1}, {"s_q", 150}, {"s_kv", 70}, {"d", d}});
    shapes.push_back({{"h_q", 1}, {"s_q", 1}, {"s_kv", 1}, {"d", d}});
    shapes.push_back({{"b", 2}, {"h_q", 2}, {"s_q", 128}, {"d", d}, {"causal", 0}});
    shapes.push_back({{"h_q", 2}, {"s_q", 129}, {"s_kv", 257}, {"d", d}, {"sigma", 100}});
    shapes.push_back({{"h_q", 4}, {"h_kv", 2}, {"s_q", 1}, {"s_kv", 999}, {"d", d}});
  }
  for (int i = 0; i < random_count; ++i) {
    const double h_kv = between(1, 3), s_q = between(1, 400);
    shapes.push_back({{"b", between(1, 3)},
                      {"h_q", h_kv * between(1, 4)},
                      {"h_kv", h_kv},
                      {"s_q", s_q},
                      {"s_kv", between(1, 700)},
                      {"d", head_sizes[random_bits()() % head_sizes.size()]},
                      {"causal", one_of({0, 1})},
                      {"sigma", one_of({1, 3, 30})}});
  }
  return shapes;
}

std::vector<Args> decode_shapes(int random_count) {
  std::vector<Args> shapes;
  for (const double d : {64., 128., 256.}) {
    shapes.push_back({{"b", 2}, {"h_q", 8}, {"h_kv", 2}, {"s_kv", 1111}, {"d", d}, {"splits", 3}});
    shapes.push_back({{"h_q", 1}, {"s_kv", 1}, {"d", d}});
    shapes.push_back({{"h_q", 64}, {"h_kv", 1}, {"s_kv", 130}, {"d", d}, {"sigma", 100}});
    shapes.push_back({{"h_q", 8}, {"h_kv", 2}, {"s_q", 5}, {"s_kv", 5}, {"d", d}, {"splits", 2}});
    shapes.push_back({{"h_q", 16}, {"h_kv", 2}, {"s_kv", 64}, {"d", d}, {"splits", 40}});
  }
  for (int i = 0; i < random_count; ++i) {
    const double h_kv = between(1, 4), s_kv = between(4, 5000);
    shapes.push_back({{"b", between(1, 4)},
                      {"h_q", h_kv * one_of({1, 2, 4, 7, 8, 16, 20})},
                      {"h_kv", h_kv},
                      {"s_q", one_of({1, 1, 2, 4})},
                      {"s_kv", s_kv},
                      {"d", one_of({64, 128, 256})},
                      {"splits", one_of({0, 1, 2, 7, 33})},
                      {"block_size", one_of({8, 16, 32, 64, 128, 256})},
                      {"ragged", one_of({0, 1})},
                      {"version", one_of({1, 2})},
                      {"sigma", one_of({1, 3, 30})}});
  }
  return shapes;
}

}  // namespace

TEST_CASE("flash_v2") { check_all("flash_v2", prefill_shapes({64, 128, 256}, 22)); }
TEST_CASE("flash_v2_fp16") {
  std::vector<Args> shapes = prefill_shapes({64, 128, 256}, 22);
  for (Args& x : shapes) x["fp16"] = 1;
  check_all("flash_v2", shapes);
}
TEST_CASE("naive") {
  std::vector<Args> shapes = prefill_shapes({64, 128}, 20);
  // bf16 scores in memory carry an error of 2^-9 of their size into the exponent: no large ones
  for (Args& x : shapes) x["sigma"] = 1;
  check_all("naive", shapes);
}
TEST_CASE("gqa_decode") { check_all("gqa_decode", decode_shapes(20)); }
TEST_CASE("flash_decoding") { check_all("flash_decoding", decode_shapes(20)); }
TEST_CASE("paged_decode") { check_all("paged_decode", decode_shapes(25)); }

TEST_CASE("quantised_kv") {
  std::vector<Args> shapes;
  for (const Args& base : decode_shapes(20))
    for (const double format : {0., 1., 2., 3., 4., 5.}) {
      Args x = base;
      x["d"] = 128, x["s_q"] = 1, x["format"] = format, x["recent"] = one_of({0, 0, 1, 17, 128});
      shapes.push_back(x);
    }
  check_all("quantised_kv", shapes);
}
TEST_CASE("sliding_window") {
  std::vector<Args> shapes;
  for (const Args& base : prefill_shapes({64, 128, 256}, 12))
    for (const double sinks : {0., 5.}) {
      Args x = base;
      x["causal"] = 1, x["window"] = between(1, 300), x["sinks"] = sinks;
      shapes.push_back(x);
    }
  for (const Args& base : decode_shapes(12)) {
    Args x = base;
    x["s_q"] = 1, x["window"] = between(1, 2000), x["sinks"] = one_of({0, 4});
    shapes.push_back(x);
  }
  check_all("sliding_window", shapes);
}

TEST_CASE("softmax") {
  std::vector<Args> shapes;
  for (const double online : {0., 1.}) {
    const auto add = [&](double rows, double columns, double hidden, double sigma) {
      shapes.push_back({{"h_q", 1},
                        {"s_q", rows},
                        {"s_kv", columns},
                        {"hidden", hidden},
                        {"sigma", sigma},
                        {"online", online}});
    };
    add(1, 1, 0, 1), add(33, 1, 0.5, 1), add(40, 8, 0, 1), add(17, 1023, 0.1, 3);
    add(64, 4096, 0.9, 1), add(20, 2050, 0.2, 1e30);  // differences beyond any exponent
    for (int i = 0; i < 12; ++i)
      add(between(1, 300), between(1, 6000), one_of({0, 0.3, 0.99}), one_of({1, 10, 1000}));
  }
  check_all("softmax", shapes);
}
TEST_CASE("flash_v1") { check_all("flash_v1", prefill_shapes({64, 128, 256}, 22)); }
TEST_CASE("block_sparse") {
  std::vector<Args> shapes;
  for (const Args& base : prefill_shapes({64, 128, 256}, 14))
    for (const double density : {0.1, 0.6}) {  // few blocks: rows without any
      Args x = base;
      x["density"] = density, x["local"] = one_of({0, 2});
      shapes.push_back(x);
    }
  for (const double density : {0., 1.})
    shapes.push_back({{"h_q", 2}, {"s_q", 200}, {"s_kv", 500}, {"density", density}});
  check_all("block_sparse", shapes);
}
TEST_CASE("ragged") {
  std::vector<Args> shapes;
  for (const double d : {64., 128., 256.})
    for (const double tree : {0., 1.}) {
      const auto add = [&](Args x) {
        x["d"] = d, x["tree"] = tree;
        shapes.push_back(x);
      };
      add({{"b", 1}, {"h_q", 1}, {"s_q", 1}});
      add({{"b", 5}, {"h_q", 6}, {"h_kv", 2}, {"s_q", 1}, {"s_kv", 300}, {"ragged", 1}});
      add({{"b", 3}, {"h_q", 4}, {"h_kv", 4}, {"s_q", 130}, {"ragged", 1}});
      add({{"b", 2}, {"h_q", 7}, {"h_kv", 1}, {"s_q", 70}, {"s_kv", 600}, {"sigma", 100}});
      add({{"b", 6}, {"h_q", 8}, {"h_kv", 2}, {"s_q", 200}, {"s_kv", 900}, {"decodes", 4}});
    }
  for (int i = 0; i < 24; ++i) {
    const double h_kv = between(1, 3), s_q = between(1, 300);
    shapes.push_back({{"b", between(1, 6)},
                      {"h_q", h_kv * between(1, 8)},
                      {"h_kv", h_kv},
                      {"s_q", s_q},
                      {"s_kv", s_q + between(0, 600)},
                      {"d", one_of({64, 128, 256})},
                      {"ragged", one_of({0, 1, 1})},
                      {"decodes", one_of({0, 0, 2})},
                      {"tree", one_of({0, 1})},
                      {"sigma", one_of({1, 3, 30})}});
  }
  check_all("ragged", shapes);
}
TEST_CASE("cascade") {
  std::vector<Args> shapes;
  for (const double d : {64., 128., 256.}) {
    shapes.push_back({{"b", 3}, {"h_q", 8}, {"h_kv", 2}, {"prefix", 64}, {"s_kv", 65}, {"d", d}});
    shapes.push_back({{"b", 1}, {"h_q", 1}, {"prefix", 16}, {"s_kv", 17}, {"d", d}});
    shapes.push_back({{"b", 9},
                      {"h_q", 64},
                      {"h_kv", 4},
                      {"prefix", 333},
                      {"s_kv", 500},
                      {"d", d},
                      {"sigma", 100}});
    shapes.push_back(
        {{"b", 4}, {"h_q", 8}, {"h_kv", 2}, {"s_q", 3}, {"prefix", 500}, {"s_kv", 620}, {"d", d}});
  }
  for (int i = 0; i < 24; ++i) {
    const double h_kv = between(1, 4), prefix = between(64, 3000), s_q = one_of({1, 1, 2, 4});
    shapes.push_back({{"b", between(1, 20)},
                      {"h_q", h_kv * one_of({1, 2, 4, 7, 8, 16})},
                      {"h_kv", h_kv},
                      {"s_q", s_q},
                      {"prefix", prefix},
                      {"s_kv", prefix + s_q + between(0, 700)},
                      {"d", one_of({64, 128, 256})},
                      {"splits", one_of({0, 1, 3})},
                      {"block_size", one_of({8, 16, 64})},
                      {"sigma", one_of({1, 3, 30})}});
  }
  check_all("cascade", shapes);
}

int main(int argc, char** argv) {
  if (!has_gpu()) {
    std::puts("no GPU: skipped");
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
