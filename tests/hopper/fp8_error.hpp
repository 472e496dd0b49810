// Errors of attention in FP16 and E4M3 on inputs with outliers: FlashAttention-3's Table 3
// (arXiv:2407.08608, section 4.3).
#pragma once
#include <cstdint>
#include <vector>

namespace kvroof::test {

struct ErrorRow {
  const char* method;
  double published;  // root of the mean squared error against FP64; the paper names no shape
  double measured;
  bool incoherent = false;  // Q and K were rotated
};

/// Entries of Q, K and V: N(0, 1) + N(0, 100) · Bernoulli(0.001). One head of `heads` after another
/// on the GPU, full mask; the reference in double on the entries before any rounding, `rows`
/// random rows of each head.
std::vector<ErrorRow> errors_with_outliers(int heads, int s, int d, int rows, std::uint64_t seed);

}  // namespace kvroof::test
