// What kvroof-probe step runs of a network: its shape as the kernels take it, and its memory.
#pragma once
#include <string>
#include <vector>

#include "cupti_probe/verbs.hpp"
#include "kernels/case.hpp"
#include "model/shape.hpp"

namespace kvroof::probe {

///   args         of kernels::decode_step or prefill_step
///   layer_bytes  weights and K/V of a layer     other_bytes  lm_head, logits, activations
struct StepShape {
  std::string name;
  kernels::Args args;
  int layers = 0;
  double layer_bytes = 0, other_bytes = 0;
  std::vector<std::string> left_out;  // of the network, with what it would have cost
  double bytes() const { return layers * layer_bytes + other_bytes; }
};

/// Throws UserError for what the step cannot run: latent or linear attention, experts, windows
/// shorter than the context, head sizes but 64, 128 and 256.
StepShape step_shape(const LlmShape& llm, const StepOptions& options);

}  // namespace kvroof::probe
