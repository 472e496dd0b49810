// One attention call as an op of this machine.
#pragma once
#include "model/machine.hpp"
#include "model/scenario.hpp"

namespace kvroof::cli {

/// UserError for an unknown variant. A format without a tensor path on this GPU
/// is computed in BF16.
Op kernel_op(const KernelCall& call, const Machine& m);

}  // namespace kvroof::cli
