// Ops in records: what a kernel was predicted to do, so that times can be fitted later and without
// the GPU.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "model/op.hpp"

namespace kvroof::probe {

/// "class=gemm math=bf16 flops=1e12 …": every field that time() reads.
std::string op_text(const Op& op);
/// The op again, without its name. UserError for text that op_text() did not write.
Op read_op(std::string_view text);

/// One shape of one kernel: its ops, how long a cold launch took, and at which SM clock (0: not
/// recorded).
struct TimedShape {
  std::string kernel, args;
  std::vector<Op> stages;
  Seconds measured;
  Clock sm_clock;
};

/// Rows `work` and `time` of records of kvroof-probe validate, in their order. Shapes without
/// either are left out; UserError for files that are no such record.
std::vector<TimedShape> read_timed_shapes(const std::vector<std::string>& files);

}  // namespace kvroof::probe
