// FlashAttention-3 forward as a plain function; the kernel is in flash_v3.cuh.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace kvroof::kernels::flash_v3 {

struct KeyScale;  // kernels/hopper/forward/tile.cuh

struct Shape {
  int b = 1, h_q = 1, h_kv = 1, s_q = 1, s_kv = 1, d_qk = 128, d_v = 128;
  bool causal = false;  // query i sees keys 0 .. s_kv - s_q + i
};

/// [b, h, s, d] on the device; strides in elements, multiples of 8; d contiguous, 16-byte aligned.
struct Tensor {
  void* data = nullptr;
  std::int64_t stride_b = 0, stride_h = 0, stride_s = 0;
};

/// q [b, h_q, s_q, d_qk]  k [b, h_kv, s_kv, d_qk]  v [b, h_kv, s_kv, d_v]  o [b, h_q, s_q, d_v]
/// lse [b, h_q, s_q] fp32, or nullptr. ticket: one word, zero before and after every launch; not to
/// be shared by launches that may run at the same time.
struct Call {
  Shape shape;
  bool fp16 = false;  // else bf16
  float scale = 1;
  Tensor q, k, v, o;
  float* lse = nullptr;
  unsigned* ticket = nullptr;
  const float *q_scale = nullptr, *k_scale = nullptr, *v_scale = nullptr;  // flash_v3_fp8 only
  float *part_o = nullptr, *part_lse2 = nullptr;  // flash_v3_fp8 only: see LastWave
  bool block_scales = false;                      // flash_v3_fp8 only: see flash_v3_fp8::run
  const KeyScale* key_scales = nullptr;           // flash_v3_fp8 only: made by its run()
  bool longest_first = true;                      // order of tiles; see section_heads()
  double l2_share = 18e6;  // bytes of K/V that the blocks at work should share at most: those of
                           // two sections are, while one follows the other
};

/// Needs compute capability 9.0. Head sizes (d_qk, d_v): (64, 64), (128, 128), (256, 256),
/// (192, 128); std::invalid_argument for others.
void run(const Call& call, cudaStream_t stream);

/// Query rows and keys of the tile that run() takes for a shape, and its buffers of Q.
struct TileSize {
  int rows, keys, q_stages = 2;
};
TileSize tile_size(const Shape& shape);

/// Query heads whose tiles are handed out together. Only causal tiles differ in length and gain
/// from many heads to choose from. Full ones take head by head: counters showed 1.5x to 1.9x of the
/// HBM reads when several heads shared a section.
int section_heads(const Shape& shape, double element_bytes, double l2_share);

/// Tiles of a full mask are equally long: where they fill the SMs a whole number of times and a
/// fraction, the last ones are cut into `parts` ranges of keys, so that no SM idles for a tile.
struct LastWave {
  int whole = 0, cut = 0, parts = 1;  // `cut` tiles behind `whole` ones come in parts
};
LastWave last_wave(const Shape& shape, const TileSize& tile, int num_sms);

}  // namespace kvroof::kernels::flash_v3
