// Small deterministic generator of attention shapes for property tests: the same shapes on every
// machine and run.
#pragma once
#include <cstdint>

#include "model/attention/variant.hpp"

namespace kvroof::attention {

class RandomShapes {
 public:
  explicit RandomShapes(std::uint64_t seed) : state_(seed) {}

  /// 0 .. n - 1 (splitmix64)
  std::uint64_t below(std::uint64_t n) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
  }
  /// 1 .. n, small values as likely as large ones
  double length(int bits) {
    return 1.0 +
           static_cast<double>(below(std::uint64_t{1} << below(static_cast<unsigned>(bits) + 1)));
  }

  AttentionShape prefill() {
    AttentionShape x = heads();
    x.s_q = length(13);
    x.s_kv = x.s_q + (below(2) ? 0 : length(13));
    x.causal = below(2) == 0;
    return x;
  }
  AttentionShape decode() {
    AttentionShape x = heads();
    x.s_q = below(4) ? 1 : 1.0 + static_cast<double>(below(8));
    x.s_kv = x.s_q + length(17);
    return x;
  }

 private:
  AttentionShape heads() {
    constexpr double sizes[] = {64, 80, 96, 128, 192, 256};
    AttentionShape x{.b = length(6)};
    x.h_kv = static_cast<double>(1 + below(16));
    x.h_q = x.h_kv * static_cast<double>(std::uint64_t{1} << below(5));
    x.d_qk = x.d_v = sizes[below(6)];
    return x;
  }
  std::uint64_t state_;
};

}  // namespace kvroof::attention
