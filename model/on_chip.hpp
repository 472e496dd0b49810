// What decides tiles, split counts and re-reads: the SMs that work at once and the L2 they share.
#pragma once
#include "model/units.hpp"

namespace kvroof {

struct OnChip {
  int num_sms = 132;
  Bytes l2_effective{
      42e6};  // H200: where streamed shared data stops hitting, not the reported 60 MiB
  constexpr bool operator==(const OnChip&) const = default;
};

}  // namespace kvroof
