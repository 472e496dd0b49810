// The Hopper decode kernels against the double-precision oracle, on a GPU: edges of tiles, pages
// and ranges, then random shapes. bf16 outputs and P leave about 2e-3 of Frobenius error.
#include <doctest/doctest.h>

#include "tests/kernels/check.hpp"

using namespace kvroof;
using namespace kvroof::kernels;

namespace {

constexpr double kTolerance = 5e-3;

void check_decode(const char* kernel, const Args& args) { check(kernel, args, kTolerance); }

void check_random_mla(double fp8) {
  for (const double h_q : {16., 64., 128.})
    for (int i = 0; i < 8; ++i)
      check_decode("mla_decode_tma", {{"fp8", fp8},
                                      {"b", between(1, 11)},
                                      {"h_q", h_q},
                                      {"s_q", between(1, 2)},
                                      {"s_kv", between(2, 2999)},
                                      {"cut", between(0, 9)},
                                      {"ragged", between(0, 1)},
                                      {"sigma", between(1, 19)}});
}

}  // namespace

TEST_CASE("mla_decode_tma: one key, one block, tails, few heads, more pieces than workers") {
  for (const double h_q : {16., 64., 128.})
    for (const double s_kv : {1., 63., 64., 65., 200., 1000.})
      check_decode("mla_decode_tma", {{"h_q", h_q}, {"s_kv", s_kv}});
  check_decode("mla_decode_tma", {{"b", 200}, {"h_q", 128}, {"s_kv", 70}, {"ragged", 1}});
  check_decode("mla_decode_tma", {{"b", 70}, {"h_q", 128}, {"s_kv", 300}, {"ragged", 1}});
  check_decode("mla_decode_tma", {{"b", 3}, {"s_q", 2}, {"s_kv", 777}, {"sigma", 20}});
  check_decode("mla_decode_tma", {{"b", 3}, {"s_kv", 999}, {"block_size", 256}, {"ragged", 1}});
}

TEST_CASE("mla_decode_tma: random shapes") { check_random_mla(0); }

TEST_CASE("mla_decode_tma over an FP8 latent: tails, pieces, random shapes") {
  for (const double h_q : {16., 128.})
    for (const double s_kv : {1., 63., 64., 65., 1000.})
      check_decode("mla_decode_tma", {{"fp8", 1}, {"h_q", h_q}, {"s_kv", s_kv}});
  check_decode("mla_decode_tma",
               {{"fp8", 1}, {"b", 150}, {"h_q", 64}, {"s_kv", 300}, {"ragged", 1}});
  check_decode("mla_decode_tma", {{"fp8", 1}, {"b", 3}, {"s_kv", 999}, {"block_size", 256}});
  check_random_mla(1);
}

TEST_CASE("gqa_decode_tma: one key, one tile, wide groups, several row blocks") {
  for (const double d : {64., 128., 256.})
    for (const double s_kv : {1., 15., 16., 128., 129., 1000.})
      check_decode("gqa_decode_tma", {{"h_q", 8}, {"h_kv", 2}, {"s_kv", s_kv}, {"d", d}});
  check_decode("gqa_decode_tma", {{"b", 2}, {"h_q", 32}, {"h_kv", 2}, {"s_kv", 3000}});
  check_decode("gqa_decode_tma", {{"b", 2}, {"h_q", 48}, {"h_kv", 2}, {"s_kv", 1000}});
  check_decode("gqa_decode_tma", {{"b", 5}, {"h_q", 16}, {"h_kv", 4}, {"s_q", 4}, {"s_kv", 3000}});
}

TEST_CASE("gqa_decode_tma: a stream a cluster, and the same shapes cut anywhere") {
  for (const double cluster : {1., 0.}) {
    for (const double b : {1., 2., 4., 8.})  // 64 streams fill clusters of 2
      for (const double s_kv : {2048., 2100., 8191.})
        check_decode("gqa_decode_tma",
                     {{"b", b}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", s_kv}, {"cluster", cluster}});
    for (const double d : {64., 256.})
      check_decode(
          "gqa_decode_tma",
          {{"b", 7}, {"h_q", 8}, {"h_kv", 1}, {"s_kv", 5000}, {"d", d}, {"cluster", cluster}});
    check_decode(
        "gqa_decode_tma",
        {{"b", 4}, {"h_q", 48}, {"h_kv", 2}, {"s_q", 2}, {"s_kv", 3000}, {"cluster", cluster}});
  }
}

TEST_CASE("gqa_decode_tma: random shapes, dense and paged") {
  for (int i = 0; i < 32; ++i) {
    const double h_kv = between(1, 8);
    check_decode("gqa_decode_tma", {{"b", between(1, 9)},
                                    {"h_kv", h_kv},
                                    {"h_q", h_kv * between(1, 11)},
                                    {"s_q", between(1, 3)},
                                    {"s_kv", between(4, 4999)},
                                    {"d", i % 3 == 0   ? 64
                                          : i % 3 == 1 ? 128
                                                       : 256},
                                    {"block_size", i % 2 == 0 ? 0 : 64},
                                    {"ragged", between(0, 1)},
                                    {"sigma", between(1, 19)}});
  }
}
