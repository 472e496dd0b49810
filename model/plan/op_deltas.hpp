// Two predictions side by side: which op, which bytes, which part of the law.
#pragma once
#include <string_view>
#include <vector>

#include "model/predict.hpp"

namespace kvroof::plan {

/// One op name of one phase, all its layers and layer groups together. Absent: all zero.
struct OpSide {
  Flops flops;
  Traffic moved;  // compulsory HBM bytes, read and written
  Bytes charged;  // of them, what the floor charges: not what may stay on chip
  Seconds floor, expected;
  Gap gap;
  Bound floor_bound = Bound::hbm;
};

/// Why the time changed; the parts add up to b.expected − a.expected exactly.
///   work   more or less to do at A's speed of light: bytes where HBM sets A's floor, else FLOPs
///   rate   the same work at B's speed of light
///   gap    part by part, B − A
struct Reasons {
  Seconds work, rate;
  Gap gap;
  Seconds total() const { return work + rate + gap.total(); }
};

struct OpDelta {
  std::string_view name;
  OpSide a, b;
  Reasons why;
  Seconds change() const { return b.expected - a.expected; }
};

/// Largest change first. Every op of either side appears once.
std::vector<OpDelta> op_deltas(const PhaseResult& a, const PhaseResult& b);

/// The part of the reasons that moves most in the direction of the change, in words.
std::string_view main_reason(const Reasons& why);

}  // namespace kvroof::plan
