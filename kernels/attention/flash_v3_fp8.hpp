// FlashAttention-3 forward in FP8 (E4M3) as plain functions.
#pragma once
#include "kernels/attention/flash_v3.hpp"

namespace kvroof::kernels::flash_v3_fp8 {

/// Bytes of the scratch that run() needs for V^T and partial results.
std::size_t workspace_bytes(const flash_v3::Shape& shape);

/// Rows that share a scale: what a warpgroup owns of Q, and the tile of K and V.
inline constexpr int kQueryBlock = 64, kKeyBlock = 128;

/// As flash_v3::run with q, k, v in E4M3, contiguous V, o in bf16; value = scale · stored, scales
/// fp32 on the device. Head sizes 128 and 256.
///   per head                 q_scale [h_q], k_scale and v_scale [h_kv], nullptr for 1
///   per block, block_scales  q_scale [b, h_q, ceil(s_q / kQueryBlock)], k_scale and v_scale
///                            [b, h_kv, ceil(s_kv / kKeyBlock)], positive
void run(const flash_v3::Call& call, void* workspace, cudaStream_t stream);

flash_v3::TileSize tile_size(const flash_v3::Shape& shape);
/// Which tiles run() cuts by keys on this GPU.
flash_v3::LastWave last_wave(const flash_v3::Shape& shape);

}  // namespace kvroof::kernels::flash_v3_fp8
