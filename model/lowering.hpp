// Choices made once per (LLM, policy, machine) before any step is counted: kernels by name, tensor
// path by format, what is on the chip. Everything after it is arithmetic.
#pragma once
#include <array>

#include "model/attention/variant.hpp"
#include "model/machine.hpp"
#include "model/policy.hpp"
#include "model/shape.hpp"

namespace kvroof {

struct Lowering {
  LlmShape rank;  // what one GPU holds of each layer
  OnChip on_chip;
  const attention::Variant* prefill = nullptr;  // s_q > 1
  const attention::Variant* decode = nullptr;   // s_q = 1
  const attention::Variant* sliding = nullptr;  // layers whose window is shorter than the context
  const attention::Variant* latent_prefill = nullptr;
  const attention::Variant* latent_decode = nullptr;
  const attention::Variant* sparse = nullptr;  // latent layers whose indexer chooses among the past
  const attention::Variant* linear_state = nullptr;  // layers with a state instead of a cache
  std::array<MathType, kDtypes.size()>
      math{};  // tensor path of a product with weights of this format

  Dtype linear = Dtype::bf16;     // format of the linear layers
  Dtype attention = Dtype::bf16;  // of the attention projections
  Dtype head = Dtype::bf16;       // of embedding and lm_head
  Dtype act = Dtype::bf16, kv = Dtype::bf16;

  MathType math_of(Dtype d) const { return math[static_cast<std::size_t>(d)]; }
};

OnChip on_chip(const Machine& machine);

/// Resolves "auto" kernels by architecture and falls back to BF16 arithmetic where the machine has
/// no tensor path for a storage format (FP8 weights on an A100 are converted before the product).
/// Throws std::invalid_argument for an unknown variant or one of the wrong phase,
/// naming the known ones.
Lowering lower(const LlmShape& llm, const Policy& policy, const Machine& machine);

}  // namespace kvroof
