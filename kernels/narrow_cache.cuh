// A K/V cache of 8- and 4-bit codes in HBM and in shared memory, d = 128: formats, tiles, copies.
#pragma once
#include "kernels/narrow_codes.cuh"
#include "kernels/split_kv.cuh"

namespace kvroof::kernels {

/// Where the scales of a tensor are.
///   tensor   one fp32                 token        one fp32 a (request, K/V head, token)
///   group    one fp16 and one 4-bit zero point a token: x = scale · (code - zero)
///   block16  E4M3 for each 16 columns of a token, and one fp32
enum class Scales { tensor, token, group, block16 };

template <Code kCode_, Scales kScales_>
struct Narrow {
  static constexpr Code kCode = kCode_;
  static constexpr Scales kScales = kScales_;
  static constexpr int kBytes = 128 * kCodeBits<kCode> / 8;  // of a row of codes
  static constexpr bool kPerToken = kScales == Scales::token || kScales == Scales::group;
  static constexpr bool kZeros = kScales == Scales::group;
  static constexpr bool kBlocks = kScales == Scales::block16;
};

/// kRowTiles tiles of 8 query rows.
template <class K_, class V_, int kRowTiles_>
struct NarrowTile {
  using K = K_;
  using V = V_;
  static constexpr int kRowTiles = kRowTiles_, kRows = 8 * kRowTiles;
  static constexpr int kD = 128, kKeys = 32;  // lane j of a warp knows key j's scales
  static constexpr int kWarps = 4, kThreads = 32 * kWarps, kStages = 3;
  // 4-bit keys come faster than two blocks can widen them.
  static constexpr int kBytes = K::kBytes + V::kBytes;  // a key
  static constexpr int kCtasPerSm = kBytes == 256 ? 2 : kBytes == 128 && kRowTiles == 1 ? 4 : 3;
  static constexpr int kKeyTiles = kKeys / 16, kColTiles = kD / 16;  // of 16 rows of operand A
};

/// One of K and V: codes [b, h_kv, s_kv, kBytes], its scales, and its E4M3 scales
/// [b, h_kv, s_kv, 8].
struct NarrowTensor {
  const std::uint8_t* codes;
  const void* scale;
  const std::uint8_t* blocks;
};
struct NarrowCache {
  NarrowTensor k, v;
  const std::uint8_t* zeros;  // [b, h_kv, s_kv]: K's in the low half of the byte, V's in the high
  int s_kv;
};

template <class F>
struct NarrowStage {
  CodeRows<F::kBytes> codes;
  std::uint8_t blocks[F::kBlocks ? 32 * 8 : 8];
};
template <class T>
struct NarrowSmem {
  struct Stage {
    NarrowStage<typename T::K> k;
    NarrowStage<typename T::V> v;
  };
  union Warp {
    Stage stage[T::kStages];
    typename WarpResult<T>::Type result;
  };
  Warp warp[T::kWarps];
};

/// Starts the copy of 32 keys from row `row` of the cache on; `valid` of them exist.
template <class F>
__device__ __forceinline__ void copy_keys(NarrowStage<F>& stage, const NarrowTensor& x,
                                          std::int64_t row, int valid, int lane) {
  using Rows = CodeRows<F::kBytes>;
  constexpr int kRowsPerStep = 32 / Rows::kChunks;
  const std::uint8_t* codes = x.codes + row * F::kBytes;
  const int first = lane / Rows::kChunks, chunk = lane % Rows::kChunks;
  const auto copy = [&](auto in_range) {
#pragma unroll
    for (int step = 0; step < 32 / kRowsPerStep; ++step) {
      const int r = step * kRowsPerStep + first;
      copy_async(shared_address(stage.codes.data) + Rows::offset(r, chunk),
                 codes + (in_range(r) ? r : 0) * F::kBytes + 16 * chunk, in_range(r));
    }
  };
  if (valid >= 32) copy([](int) { return true; });
  else copy([=](int r) { return r < valid; });
  if constexpr (F::kBlocks)
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(
                     shared_address(stage.blocks + 8 * lane)),
                 "l"(x.blocks + (row + (lane < valid ? lane : 0)) * 8), "r"(lane < valid ? 8 : 0)
                 : "memory");
}

/// Scale of one token, 1 where there is none.
template <class F>
__device__ __forceinline__ float token_scale(const NarrowTensor& x, std::int64_t row, bool valid) {
  if constexpr (F::kScales == Scales::token)
    return valid ? static_cast<const float*>(x.scale)[row] : 1.f;
  else if constexpr (F::kScales == Scales::group)
    return valid ? __half2float(static_cast<const __half*>(x.scale)[row]) : 1.f;
  else return 1.f;
}
/// What the whole tensor's scores or outputs are multiplied with.
template <class F>
__device__ __forceinline__ float tensor_scale(const NarrowTensor& x) {
  if constexpr (F::kPerToken) return 1.f;
  return *static_cast<const float*>(x.scale);
}

}  // namespace kvroof::kernels
