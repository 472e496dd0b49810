// MLA kernels against the oracle: one token, one block, ragged tails, head counts that fill no
// tile, large scores, then random shapes.
#include "tests/kernels/check.hpp"

using namespace kvroof::kernels;

TEST_CASE("mla_decode") {
  std::vector<Args> shapes{
      {{"h_q", 1}, {"s_kv", 1}},
      {{"h_q", 128}, {"s_kv", 64}, {"splits", 1}},
      {{"h_q", 128}, {"s_kv", 65}, {"splits", 5}},  // more splits than tiles
      {{"b", 3}, {"h_q", 16}, {"s_kv", 1000}, {"sigma", 100}},
      {{"b", 2}, {"h_q", 128}, {"s_kv", 777}, {"sigma", 100}, {"ragged", 1}},
      {{"h_q", 16}, {"s_q", 7}, {"s_kv", 7}, {"block_size", 8}},
      {{"b", 4}, {"h_q", 64}, {"s_kv", 3000}, {"splits", 33}, {"block_size", 256}, {"ragged", 1}}};
  for (int i = 0; i < 25; ++i)
    shapes.push_back({{"b", between(1, 5)},
                      {"h_q", one_of({1, 8, 16, 17, 40, 64, 100, 128})},
                      {"s_q", one_of({1, 1, 2, 4})},
                      {"s_kv", between(4, 2000)},
                      {"block_size", one_of({8, 16, 32, 64, 128})},
                      {"ragged", one_of({0, 1})},
                      {"splits", one_of({0, 1, 2, 7, 33})},
                      {"sigma", one_of({1, 3, 30})}});
  check_all("mla_decode", shapes);
}

TEST_CASE("mla_prefill") {
  std::vector<Args> shapes{{{"h_q", 1}, {"s_q", 1}, {"s_kv", 1}},
                           {{"h_q", 2}, {"s_q", 1}, {"s_kv", 999}},
                           {{"h_q", 2}, {"s_q", 200}, {"s_kv", 333}},
                           {{"h_q", 1}, {"s_q", 150}, {"s_kv", 70}},  // rows that see nothing
                           {{"h_q", 1}, {"s_q", 128}, {"s_kv", 48}, {"causal", 0}},
                           {{"h_q", 2}, {"s_q", 129}, {"s_kv", 257}, {"sigma", 100}}};
  for (int i = 0; i < 22; ++i)
    shapes.push_back({{"b", between(1, 3)},
                      {"h_q", between(1, 6)},
                      {"s_q", between(1, 400)},
                      {"s_kv", between(1, 700)},
                      {"causal", one_of({0, 1})},
                      {"sigma", one_of({1, 3, 30})}});
  check_all("mla_prefill", shapes);
}
