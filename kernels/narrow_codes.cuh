// 8- and 4-bit K/V codes in shared memory and their way into fp16 operands of mma m16n8k16.
//
// ldmatrix cannot transpose bytes, so the lanes read what lies together and the order of the
// contraction is permuted instead (lane = 4·g + c):
//   Q·K^T   lane reads the codes of key g from column 16·c + 64·i (8 bit) or 32·c (4 bit) on; both
//           operands take d in that order: see k_column()
//   P·V     lane reads columns 16·g .. 16·g + 15 of its four keys; column n of product tile j
//   stands
//           for d = 16·n + j
// A 4-bit code n of a row lies in byte n / 2, even n in the low half.
#pragma once
#include <cuda_fp8.h>

#include "kernels/mma.cuh"

namespace kvroof::kernels {

enum class Code { fp8, int8, int4, fp4 };  // E4M3; two's complement; 0 .. 15; E2M1

template <Code kCode>
constexpr int kCodeBits = kCode == Code::fp8 || kCode == Code::int8 ? 8 : 4;

/// [32 keys, kBytes] of codes. The place of a 16-byte chunk is permuted so that neither the eight
/// lanes that read two keys for K, nor the lanes that read four keys apart by two for V, share a
/// bank.
template <int kBytes>
struct CodeRows {
  static_assert(kBytes == 128 || kBytes == 64);
  static constexpr int kChunks = kBytes / 16;
  alignas(128) std::uint8_t data[32 * kBytes];

  __device__ static int offset(int row, int chunk) {
    if constexpr (kBytes == 128)
      return row * 128 + ((chunk ^ ((row & 1) << 2) ^ ((row >> 1 & 3) << 1)) << 4);
    else return ((row ^ (row >> 1 & 1)) * 64) + ((chunk ^ ((row >> 2 & 1) << 1)) << 4);
  }
  __device__ uint4 chunk(int row, int c) const {
    return *reinterpret_cast<const uint4*>(data + offset(row, c));
  }
  /// Eight bytes; half 0 or 1 of a chunk.
  __device__ uint2 half_chunk(int row, int half) const {
    return *reinterpret_cast<const uint2*>(data + offset(row, half / 2) + half % 2 * 8);
  }
};

__device__ __forceinline__ __half2 as_half2(std::uint32_t x) {
  return *reinterpret_cast<__half2*>(&x);
}

/// Two E4M3 bytes (low half of x) as a pair of fp16; exact.
__device__ __forceinline__ std::uint32_t widen_e4m3(std::uint32_t x) {
#if __CUDA_ARCH__ >= 890
  std::uint32_t y;
  asm("{ .reg .b16 lo, hi; mov.b32 {lo, hi}, %1; cvt.rn.f16x2.e4m3x2 %0, lo; }" : "=r"(y) : "r"(x));
  return y;
#else  // sign and magnitude moved into place; the exponent bias differs by 8
  const std::uint32_t pair = __byte_perm(x, 0, 0x1404);  // bytes 1 and 3
  const std::uint32_t y = (pair & 0x80008000u) | ((pair & 0x7f007f00u) >> 1);
  return bits(__hmul2(as_half2(y), __float2half2_rn(256.f)));
#endif
}

/// Bytes 0, 1 and 2, 3 of x as two pairs of fp16; exact.
template <Code kCode>
__device__ __forceinline__ uint2 widen_bytes(std::uint32_t x) {
  if constexpr (kCode == Code::int8) {  // 0x64uu is 1024 + u; u = value + 128
    const std::uint32_t u = x ^ 0x80808080u;
    const __half2 offset = __float2half2_rn(1152.f);
    return {bits(__hsub2(as_half2(__byte_perm(u, 0x64646464u, 0x4140)), offset)),
            bits(__hsub2(as_half2(__byte_perm(u, 0x64646464u, 0x4342)), offset))};
  } else {
    return {widen_e4m3(x), widen_e4m3(x >> 16)};
  }
}

/// Two 4-bit codes, in the lowest bits of each half of x, as a pair of fp16; exact.
///   int4   code - zero: `with` holds 1024 + zero in each half
///   fp4    code · scale · 2^-7: `with` holds scale · 2^7 in each half (scale: E4M3)
template <Code kCode>
__device__ __forceinline__ std::uint32_t widen_nibbles(std::uint32_t x, std::uint32_t with) {
  if constexpr (kCode == Code::int4) {  // 0x640u is 1024 + u
    return bits(__hsub2(as_half2((x & 0x000f000fu) | 0x64006400u), as_half2(with)));
  } else {  // E2M1 moved into fp16's fields; the exponent bias differs by 14
    const std::uint32_t y = ((x & 0x00080008u) << 12) | ((x & 0x00070007u) << 9);
    return bits(__hmul2(as_half2(y), as_half2(with)));
  }
}
/// What widen_nibbles<fp4> leaves to the caller.
constexpr float kFp4Rest = 128;

/// Column of K that element `hi` (first of its pair) of step `step` of the contraction stands for,
/// and the distance to the pair's second.
template <Code kCode>
__device__ __forceinline__ int k_column(int step, int c, int hi) {
  return kCodeBits<kCode> == 8 ? step / 4 * 64 + 16 * c + step % 4 * 4 + 2 * hi
                               : 32 * c + step / 2 * 8 + step % 2 * 2 + hi;
}
template <Code kCode>
constexpr int kPairDistance = kCodeBits<kCode> == 8 ? 1 : 4;

/// Operand B of the eight steps of Q·K^T for key `row` of a tile: b[2·step], b[2·step + 1].
/// with(block): see widen_nibbles; block counts 16 columns of this lane's 32 (4 bit only).
template <Code kCode, class Rows, class With>
__device__ __forceinline__ void k_operands(std::uint32_t (&b)[16], const Rows& rows, int row, int c,
                                           const With& with) {
  if constexpr (kCodeBits<kCode> == 8) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint4 chunk = rows.chunk(row, 4 * i + c);
      const std::uint32_t words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        const uint2 pair = widen_bytes<kCode>(words[w]);
        b[8 * i + 2 * w] = pair.x, b[8 * i + 2 * w + 1] = pair.y;
      }
    }
  } else {
    const uint4 chunk = rows.chunk(row, c);
    const std::uint32_t words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
    for (int w = 0; w < 4; ++w)
#pragma unroll
      for (int i = 0; i < 4; ++i)  // codes i and i + 4 of a word
        b[4 * w + i] = widen_nibbles<kCode>(words[w] >> (4 * i), with(w / 2));
  }
}

/// Operand B of P·V for 16 keys: f(tile, b0, b1) for each of the 16 product tiles. `row(j)` is key
/// 2c, 2c + 1, 2c + 8, 2c + 9 of them; with01, with23: see widen_nibbles, for their pairs.
template <Code kCode, class Rows, class Row, class F>
__device__ __forceinline__ void v_operands(const Rows& rows, int g, const Row& row,
                                           std::uint32_t with01, std::uint32_t with23, const F& f) {
  if constexpr (kCodeBits<kCode> == 8) {
    uint4 chunks[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) chunks[j] = rows.chunk(row(j), g);
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const auto word = [&](int j) {
        return reinterpret_cast<const std::uint32_t*>(&chunks[j])[w];
      };
      // two keys' bytes side by side: columns 4w, 4w + 1 and 4w + 2, 4w + 3
      const uint2 x01 = widen_bytes<kCode>(__byte_perm(word(0), word(1), 0x5140));
      const uint2 x23 = widen_bytes<kCode>(__byte_perm(word(0), word(1), 0x7362));
      const uint2 y01 = widen_bytes<kCode>(__byte_perm(word(2), word(3), 0x5140));
      const uint2 y23 = widen_bytes<kCode>(__byte_perm(word(2), word(3), 0x7362));
      f(4 * w, x01.x, y01.x), f(4 * w + 1, x01.y, y01.y);
      f(4 * w + 2, x23.x, y23.x), f(4 * w + 3, x23.y, y23.y);
    }
  } else {
    uint2 halves[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) halves[j] = rows.half_chunk(row(j), g);
#pragma unroll
    for (int w = 0; w < 2; ++w)
#pragma unroll
      for (int byte = 0; byte < 4; ++byte) {
        const auto word = [&](int j) { return w == 0 ? halves[j].x : halves[j].y; };
        const int both = 0x4400 + byte * 0x1111;  // this byte of either key, twice
        const std::uint32_t x = __byte_perm(word(0), word(1), both);
        const std::uint32_t y = __byte_perm(word(2), word(3), both);
        const int tile = 8 * w + 2 * byte;
        f(tile, widen_nibbles<kCode>(x, with01), widen_nibbles<kCode>(y, with23));
        f(tile + 1, widen_nibbles<kCode>(x >> 4, with01), widen_nibbles<kCode>(y >> 4, with23));
      }
  }
}

}  // namespace kvroof::kernels
