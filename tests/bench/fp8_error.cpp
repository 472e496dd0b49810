// Errors of FP16 and E4M3 attention on inputs with outliers, beside FlashAttention-3's Table 3, as
// CSV; a measurement, the test is tests/hopper/flash_v3_fp8_test.cpp.
//   build/<preset>/bin/kvroof_fp8_error > flash_v3_fp8_error.csv
#include <cmath>
#include <cstdio>
#include <vector>

#include "kernels/device.hpp"
#include "tests/hopper/fp8_error.hpp"

int main() {
  using namespace kvroof;
  if (!kernels::has_gpu() || !kernels::gpu().is_hopper()) {
    std::puts("no GPU of compute capability 9.0");
    return 77;
  }
  constexpr int kHeads = 16, kRows = 256, kSeeds = 4;
  std::puts("s,d,method,published_rmse,rmse,ratio");
  for (const int s : {2048, 8448, 16384}) {
    std::vector<test::ErrorRow> rows;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      const auto more = test::errors_with_outliers(kHeads, s, 128, kRows, seed);
      if (rows.empty()) {
        rows = more;
        for (test::ErrorRow& row : rows) row.measured = 0;
      }
      for (std::size_t i = 0; i < rows.size(); ++i)
        rows[i].measured += more[i].measured * more[i].measured / kSeeds;
    }
    for (const test::ErrorRow& row : rows) {
      const double rmse = std::sqrt(row.measured);
      std::printf("%d,128,\"%s\",%.2g,%.3g,%.2f\n", s, row.method, row.published, rmse,
                  rmse / row.published);
    }
  }
}
