// Products by hand, MoE coverage against published tables.
#include "model/gemm.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "model/gemm_reread.hpp"
#include "model/moe.hpp"

using namespace kvroof;
using doctest::Approx;

TEST_CASE("a product's FLOPs, padding, bytes and tile loads by hand") {
  const GemmFormats bf16{};
  // 100 x 200 x 64 in 64 x 128 tiles: 2 x 2 tiles, padded to 128 x 256 x 64.
  const Work w = gemm(100, 200, 64, bf16, {.m = 64, .n = 128, .k = 64}, {});
  CHECK(w.flops.value == 2.0 * 100 * 200 * 64);
  CHECK(w.flops_executed.value == 2.0 * 128 * 256 * 64);
  CHECK(w.read.weights.value == 200 * 64 * 2);
  CHECK(w.read.activations.value == 100 * 64 * 2);
  CHECK(w.written.activations.value == 100 * 200 * 2);
  CHECK(w.l2_to_sm.value == 4 * (64 + 128) * 64 * 2);
  CHECK(w.ctas == 4);
  // A cluster of two along m fetches its common 128 columns once; both receive them.
  const Work pair = gemm(100, 200, 64, bf16, {.m = 64, .n = 128, .k = 64, .cluster_m = 2}, {});
  CHECK(pair.l2_to_sm.value == 4 * (64 + 64) * 64 * 2);
  CHECK(pair.multicast.value == 4 * 64 * 64 * 2);
}

TEST_CASE("decode: the weights are read whatever the batch, intensity tends to the batch") {
  const OnChip chip;
  for (double m : {1.0, 8.0, 64.0}) {
    const Work w = gemm(m, 8192, 8192, {}, gemm_tile(m, 8192, 8192, chip), chip);
    CHECK(w.read.weights.value == 8192.0 * 8192 * 2);
    CHECK(w.intensity().value == Approx(m).epsilon(0.02));
  }
}

TEST_CASE(
    "8192 cubed at BF16: 1.0995 TFLOP, 128 x 256 tiles exactly, 2731 FLOP per compulsory byte") {
  const Work w = gemm(8192, 8192, 8192, {}, gemm_tile(8192, 8192, 8192, {}), {});
  CHECK(w.flops.value == 1099511627776.0);
  CHECK(w.flops_executed == w.flops);
  CHECK(w.ctas == 64 * 32);
  CHECK(w.intensity().value == Approx(8192.0 / 3).epsilon(1e-12));
}

TEST_CASE(
    "L2 feeds the tile that is picked in less time than a library took for the whole product") {
  // H100, BF16: gemm tables of TensorRT-LLM 1.3.0rc20 in ai-dynamo/aiconfigurator (Apache-2.0), ms.
  // Tiles with the fewest idle SMs need up to twice as long: they reuse too little.
  struct Row {
    double m, n, k, ms;
  };
  const Row rows[] = {{257, 16384, 4096, 0.0601}, {512, 16384, 4096, 0.0920},
                      {769, 6144, 4096, 0.0543},  {1025, 6144, 4096, 0.0812},
                      {769, 65536, 51200, 7.926}, {2049, 2560, 2560, 0.0367},
                      {3073, 3072, 8192, 0.1914}, {3073, 1024, 3584, 0.0319}};
  const Bandwidth l2{8.9e12};  // arXiv:2402.13499
  const OnChip h100{.num_sms = 132, .l2_ridge = 989.4e12 / l2.value};
  for (const Row& r : rows) {
    CAPTURE(r.m);
    CAPTURE(r.n);
    const Work w = gemm(r.m, r.n, r.k, {}, gemm_tile(r.m, r.n, r.k, h100), h100);
    CHECK((w.l2_to_sm / l2).value < r.ms * 1e-3);
    CHECK(w.flops_executed.value / 989.4e12 < r.ms * 1e-3);
  }
}

TEST_CASE("tiles are taken in strips of sqrt(132 a / b), as seen in the memory of an H200") {
  struct Row {
    double m, n;
    GemmTile tile;
    double width;
    bool along_m;
  };
  const Row rows[] = {{8192, 8192, {.m = 128, .n = 320, .cluster_m = 2}, 13, true},
                      {8192, 8192, {.m = 128, .n = 256, .cluster_m = 2}, 11, true},
                      {16384, 8192, {.m = 192, .n = 192, .cluster_n = 2}, 8, false},
                      {8192, 8192, {.m = 128, .n = 144, .cluster_m = 2}, 9, true},
                      {16384, 8192, {.m = 160, .n = 128, .cluster_n = 2}, 9, false},
                      {4096, 4096, {.m = 128, .n = 128, .cluster_n = 2}, 8, false}};
  for (const Row& r : rows) {
    const Raster raster = gemm_raster(r.m, r.n, r.tile, {});
    CHECK(raster.width == r.width);
    CHECK(raster.along_m == r.along_m);
    CHECK(raster.wave == 66);
  }
}

TEST_CASE("HBM reads over compulsory of cuBLASLt products as an H200's counters saw them") {
  // dram__bytes_read over (m + n)·k·element, cold L2: reports/h200-sxm-141gb/gemm_raster.csv
  struct Row {
    double m, n, k;
    GemmTile tile;
    double bytes, seen, tolerance;
  };
  const GemmTile wide{.m = 128, .n = 320, .cluster_m = 2},
      usual{.m = 128, .n = 256, .cluster_m = 2}, square{.m = 192, .n = 192, .cluster_n = 2};
  const GemmTile fp8{.m = 128, .n = 144, .k = 128, .cluster_m = 2},
      fp8_wide{.m = 160, .n = 128, .k = 128, .cluster_n = 2};
  const Row rows[] = {{256, 28672, 8192, usual, 2, 1.009, 0.002},
                      {1024, 28672, 8192, usual, 2, 1.491, 0.002},
                      {4096, 8192, 8192, usual, 2, 3.167, 0.002},
                      {8192, 8192, 8192, usual, 2, 4.487, 0.002},
                      {8192, 4096, 14336, usual, 2, 3.000, 0.002},
                      {8192, 8192, 8192, wide, 2, 4.657, 0.002},
                      {4096, 10240, 8192, wide, 2, 3.451, 0.002},
                      {4096, 14336, 4096, wide, 2, 3.787, 0.003},
                      {6144, 6144, 6144, square, 2, 3.375, 0.002},
                      {16384, 8192, 8192, square, 2, 5.976, 0.03},  // CTAs drift apart
                      {4096, 28672, 8192, wide, 2, 4.608, 0.03},
                      {4096, 4096, 4096, usual, 2, 2.227, 0.01},  // about what L2 holds
                      {8192, 8192, 16384, fp8, 1, 6.117, 0.01},
                      {8192, 8192, 8192, fp8, 1, 4.204, 0.03},
                      {8192, 4096, 14336, fp8_wide, 1, 3.930, 0.003},
                      // median of 40 launches, 4.14 to 4.42 on four occasions: gemm_spread.csv
                      {8192, 10240, 8192, fp8_wide, 1, 4.317, 0.03}};
  const OnChip chip{.num_sms = 132, .l2_effective = Bytes{32.97e6}};
  for (const Row& r : rows) {
    CAPTURE(r.m);
    CAPTURE(r.n);
    CAPTURE(r.k);
    CAPTURE(r.tile.n);
    const GemmFormats f{.weight = ElementSize{r.bytes}, .in = ElementSize{r.bytes}};
    const Work w = gemm(r.m, r.n, r.k, f, r.tile, chip);
    CHECK(1 + w.reread / w.hbm_read() == Approx(r.seen).epsilon(r.tolerance));
  }
}

TEST_CASE("experts touched by B tokens: E(1 - (1 - k/E)^B)") {
  struct Row {
    double experts, k;
    double touched[8];
  };  // B = 1 2 4 8 16 32 64 128
  const Row rows[] = {{8, 2, {2, 3.5, 5.5, 7.2, 7.9, 8, 8, 8}},
                      {256, 8, {8, 15.8, 30.5, 57.4, 102, 163, 222, 252}},
                      {128, 4, {4, 7.9, 15.3, 28.7, 51, 81.7, 111, 126}},
                      {64, 6, {6, 11.4, 20.8, 34.9, 50.8, 61.3, 63.9, 64}},
                      {384, 8, {8, 15.8, 31, 59.5, 110, 188, 284, 358}},
                      {16, 1, {1, 1.9, 3.6, 6.5, 10.3, 14, 15.7, 16}}};
  for (const Row& r : rows)
    for (int i = 0; i < 8; ++i) {
      CAPTURE(r.experts);
      CAPTURE(i);
      // The table is printed to three digits: half a unit of the last one.
      const double half_unit = r.touched[i] >= 100 ? 0.5 : 0.05;
      CHECK(std::fabs(experts_touched(r.experts, r.k, 1 << i) - r.touched[i]) <= half_unit + 1e-9);
    }
  CHECK(experts_touched(256, 8, 64, 1.0) == Approx(8));  // identical routing: one token's experts
}

TEST_CASE("a routed product reads touched experts only and computes every assignment") {
  const Work w =
      experts_gemm({.d_ff = 1024, .assignments = 512, .touched = 222}, 2048, 4096, {}, {});
  CHECK(w.read.weights.value == Approx(222.0 * 2048 * 4096 * 2));
  CHECK(w.flops.value == 2.0 * 512 * 2048 * 4096);
  CHECK(w.flops_executed >= w.flops);
}

TEST_CASE(
    "a product of a billion rows is counted in a moment, its re-reads as those of half of it") {
  const OnChip chip;
  const GemmTile tile{.m = 128, .n = 256};
  const auto reread = [&](double m) { return gemm_reread(m, 8192, 8192, {}, tile, chip).value; };
  const double most = 1 << 30;
  CHECK(reread(most) / reread(most / 2) == doctest::Approx(2).epsilon(1e-3));
}
