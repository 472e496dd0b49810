// Chains of kernels against what an H200's DRAM counters said (reports/h200-sxm-141gb/l2_dirty.csv),
// and by hand.
#include "model/residence.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

using namespace kvroof;
using doctest::Approx;

namespace {

constexpr Bytes kTiles512{512 * 16384.};

/// Share that the third of three kernels finds in L2 of what the first wrote; the second reads.
double found(double written, double beside, Reading how, bool then_writes = false) {
  const Bytes x = written * kTiles512;
  std::array<Pass, 3> passes;
  passes[0].writes = {{"x", x}};
  passes[1].reads = {{{}, beside * kTiles512, how}};
  passes[2].reads = {{"x", x, how}};
  if (then_writes) passes[2].writes = {{"y", x}};
  return found_in_l2(passes, {})[2] / x;
}

}  // namespace

TEST_CASE("what a kernel wrote outlives reads of others in between, as counted") {
  // In units of 8.4 MB: written, read in between, share of it read from DRAM. The law is off by
  // 0.07 in the mean of all such chains.
  struct Row {
    double written, beside, missed;
  };
  for (const Row& r : {Row{1, 3, 0.031}, Row{2, 3, 0.089}, Row{2, 4, 0.346}, Row{2, 6, 0.830},
                       Row{3, 3, 0.287}, Row{4, 1, 0.174}, Row{4, 2, 0.395}, Row{4, 3, 0.609},
                       Row{5, 0, 0.154}, Row{5, 2, 0.688}, Row{6, 2, 0.828}, Row{8, 0, 0.869}}) {
    CAPTURE(r.written);
    CAPTURE(r.beside);
    CHECK(std::abs(1 - found(r.written, r.beside, Reading::once) - r.missed) < 0.1);
  }
}

TEST_CASE("reads that say evict-first push nothing out; of too much written the tail remains") {
  CHECK(found(1, 6, Reading::evict_first) == Approx(1).epsilon(0.01));
  CHECK(found(3, 6, Reading::evict_first) == Approx(0.999).epsilon(0.01));
  CHECK(std::abs(found(16, 0, Reading::evict_first) - 0.252) < 0.07);
  CHECK(std::abs(found(32, 0, Reading::evict_first) - 0.123) < 0.07);
  // A third kernel that writes as much as it reads pushes out what it has not come to.
  CHECK(std::abs(found(6, 0, Reading::evict_first, true) - 0.095) < 0.08);
}

TEST_CASE("rows of a product's output wait for the strips behind them, by hand") {
  // Ten strips of a tenth of the columns each, walked along the rows; 10 MB a strip, of which the
  // newest 4 strips and a bit fit 41.6 MB. A reader row by row that writes nothing finds the strip
  // it starts with when it was written last, so 4.16 of 10 on the mean.
  Pass product{.writes = {{"c", Bytes{100e6}}},
               .raster = Raster{.across = 10, .length = 1000, .width = 1, .wave = 1}};
  Pass reader{.reads = {{"c", Bytes{100e6}, Reading::evict_first}}};
  const std::array<Pass, 2> passes{product, reader};
  CHECK(found_in_l2(passes, {})[1].value == Approx(41.6e6).epsilon(0.1));
  // One wave stores all tiles at its end: all of 30 MB is found.
  product.writes[0].bytes = reader.reads[0].bytes = Bytes{30e6};
  product.raster = Raster{.across = 10, .length = 10, .width = 10, .wave = 100};
  product.reads = {{{}, Bytes{200e6}, Reading::by_many}};
  const std::array<Pass, 2> one_wave{product, reader};
  CHECK(found_in_l2(one_wave, {})[1].value == Approx(30e6).epsilon(0.001));
}

TEST_CASE("what no kernel of the chain touched is not found") {
  const std::array<Pass, 1> first{Pass{.reads = {{"x", Bytes{1e6}}, {{}, Bytes{1e6}}}}};
  CHECK(found_in_l2(first, {})[0] == Bytes{});
}
