// One op: its name, its work, and the little about its kernel that time depends on.
#pragma once
#include <string_view>

#include "model/dtype.hpp"
#include "model/work.hpp"

namespace kvroof {

/// Classes share calibration constants: what one kernel of a class achieves, the others do too.
enum class OpClass { gemm, moe_gemm, prefill_attention, decode_attention, elementwise, collective };
inline constexpr int kNumOpClasses = 6;

constexpr std::string_view name(OpClass c) {
  constexpr std::string_view names[] = {
      "gemm", "moe_gemm", "prefill_attention", "decode_attention", "elementwise", "collective"};
  return names[static_cast<int>(c)];
}

/// How the kernel occupies an SM.
///   ctas_per_sm    resident thread blocks; with the SM count it gives the waves
///   pipe_overlap   1: exponentials and FP32 work hide under tensor work; 0: they add to it
///   sm_cycles      cycles that the busiest SM needs for its tiles, where a model of its pipes and
///                  of the order of tiles tells; 0: time() puts them together from Work
///   fill_cycles    cycles of a block that nothing hides, beside those: until its first tile is
///                  there, and one trip to memory after another at its end
///   tensor_busy    share of a tile's steps in which the tensor cores work; it sets the clock at
///                  which they run
///   mma_sync       tensor work issued through mma.sync, whose peak is 2/3 of wgmma's on Hopper
///   longest        work of the largest thread block over that of the mean one: causal rows 2
///   longest_first  blocks start in the order of their lengths, so that little is left at the end
struct Execution {
  int ctas_per_sm = 1;
  double pipe_overlap = 1;
  bool mma_sync = false;
  double sm_cycles = 0, fill_cycles = 0;
  double tensor_busy = 1;
  double longest = 1;
  bool longest_first = false;
  bool operator==(const Execution&) const = default;
};

/// What travels over the interconnect; `payload` is the tensor every rank holds (all_reduce), or
/// what one rank contributes (all_gather, all_to_all, send).
enum class CollectiveKind { none, all_reduce, all_gather, all_to_all, send };
struct Collective {
  CollectiveKind kind = CollectiveKind::none;
  int ranks = 1;
  Bytes payload;
  bool operator==(const Collective&) const = default;
};

/// What of an op's reads and writes L2 keeps from HBM although the op counts them pass by pass.
struct Kept {
  Bytes read, written;
  bool operator==(const Kept&) const = default;
};

struct Op {
  std::string_view name;  // static storage: op names are a closed set
  OpClass op_class = OpClass::gemm;
  MathType math = MathType::bf16;
  double count = 1;  // how many times the step runs it (layers)
  Work work;         // of one of them, on one GPU
  Execution execution;
  Collective collective;
  /// Activations handed from one op of the step to the next: they may stay on chip, so the floor
  /// does not charge them and the expectation charges them only when L2 cannot hold them.
  Bytes handed_over;
  /// The part of handed_over that comes back within one kernel:
  /// rows it rewrites while L2 holds them.
  Kept kept;
};

}  // namespace kvroof
