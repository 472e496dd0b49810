// Inputs of the E4M3 kernels with block scales: codes and scales as they come, or BF16 tensors that
// the launch quantises first.
#pragma once
#include "kernels/elementwise/quantise.hpp"
#include "kernels/hopper/prefill_case.hpp"

namespace kvroof::kernels::hopper {

/// Codes in data.q, data.k, data.v; one scale for `block` rows of a head.
/// Empty `wide`: no BF16 tensor.
struct BlockScaled {
  Buffer codes, scales, wide;
  int groups, rows, d, block;
};
struct BlockScaledData {
  PrefillData data;
  BlockScaled q, k, v;
  bool incoherent = false;  // Q and K are rotated before they are quantised
  Signs signs{};
};
/// `from_bf16`: with BF16 tensors, of normal values.
BlockScaledData block_scaled_data(const PrefillData&, bool from_bf16, bool incoherent);

/// q, k and v: wide -> codes, scales. Three kernels.
void quantise(const BlockScaledData&, cudaStream_t);

/// As verify_prefill; the oracle takes codes times scales, as the launch found or left them.
Verdict verify_block_scaled(const BlockScaledData&, const std::function<void(cudaStream_t)>& launch,
                            double tolerance);

}  // namespace kvroof::kernels::hopper
