// The decode step in double, rounded where the kernels store bf16.
#pragma once
#include <vector>

#include "kernels/step/network.hpp"

namespace kvroof::kernels::step {

/// The last norm's output [b, d_model], or with lm_head the logits [b, vocab].
std::vector<double> step_oracle(const Network& n, const Tensors& t);

}  // namespace kvroof::kernels::step
