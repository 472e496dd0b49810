// The transformer, once: what one GPU runs in one step.
#pragma once
#include <vector>

#include "model/load.hpp"
#include "model/lowering.hpp"
#include "model/op.hpp"
#include "model/policy.hpp"
#include "model/shape.hpp"

namespace kvroof {

/// One op per kernel kind of each layer group of the rank's shape (shard.hpp), `count` = layers;
/// then final norm and lm_head. Two all-reduces a layer under tensor parallelism; dispatch and
/// combine where experts live with other data replicas. All layers are listed even with pipeline
/// stages: a token passes each of them, the load is then one micro-batch, and a send stands for
/// each boundary. With data parallelism `load` is that of one replica. Weights are read once per
/// step whatever the number of tokens; the embedding is gathered, not read.
std::vector<Op> ops(const Lowering& lowering, const Policy& policy, const StepLoad& load);

/// The attention kernels of that list alone, into `out`. In a decode step they are all that depends
/// on the context; the rest depends on the number of requests only.
void attention_ops(const Lowering& lowering, const Policy& policy, const StepLoad& load,
                   std::vector<Op>& out);

}  // namespace kvroof
