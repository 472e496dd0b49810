// CUDA graphs are captured for some batch sizes only; a batch runs in the next larger one.
#pragma once
#include <span>
#include <vector>

namespace kvroof::serving {

/// vLLM's capture list: 1, 2, 4, then every 8 up to 256, then every 16, up to `largest`.
std::vector<int> captured_sizes(int largest);

/// 1, 2, 4, 8, … up to `largest`.
std::vector<int> power_of_two_sizes(int largest);

/// Smallest captured size at or above the batch; the batch itself beyond the largest (runs eager).
int padded_batch(int batch, std::span<const int> captured);

/// Wasted share of the rows a graph runs:  (next − B)/next.
double padding_waste(int batch, std::span<const int> captured);

}  // namespace kvroof::serving
