#include "model/serving/graph_padding.hpp"

#include <algorithm>

namespace kvroof::serving {

std::vector<int> captured_sizes(int largest) {
  std::vector<int> sizes;
  for (const int n : {1, 2, 4})
    if (n <= largest) sizes.push_back(n);
  for (int n = 8; n <= largest; n += n < 256 ? 8 : 16) sizes.push_back(n);
  return sizes;
}

std::vector<int> power_of_two_sizes(int largest) {
  std::vector<int> sizes;
  for (int n = 1; n <= largest; n *= 2) sizes.push_back(n);
  return sizes;
}

int padded_batch(int batch, std::span<const int> captured) {
  const auto next = std::lower_bound(captured.begin(), captured.end(), batch);
  return next == captured.end() ? batch : *next;
}

double padding_waste(int batch, std::span<const int> captured) {
  const int padded = padded_batch(batch, captured);
  return static_cast<double>(padded - batch) / padded;
}

}  // namespace kvroof::serving
