// 8- and 4-bit K/V codes in shared memory and their way into fp16 operands of mma m16n8k16.
//
// ldmatrix cannot transpose bytes, so the lanes read what lies together and the order of the
// contraction is permuted instead (lane = 4·g + c). The codes are operand A, of 16 rows:
//   S^T = K·Q^T      rows are keys; a lane reads the codes of key g from column 16·c + 64·i (8 bit)
//                    or 32·c (4 bit) on, and Q takes d in that order: see k_column()
//   O^T = V^T·P^T    rows are columns of V; a lane reads columns 16·g .. 16·g + 15 of its four
//                    keys; row r of product j stands for d = 16·(r % 8) + 2·j + r / 8
// A 4-bit code n of a row lies in byte n / 2, even n in the low half.
#pragma once
#include <cuda_fp8.h>

#include "kernels/mma.cuh"

namespace kvroof::kernels {

enum class Code { fp8, int8, int4, fp4 };  // E4M3; two's complement; 0 .. 15; E2M1

template <Code kCode>
constexpr int kCodeBits = kCode == Code::fp8 || kCode == Code::int8 ? 8 : 4;

/// [32 keys, kBytes] of codes. The place of a 16-byte chunk is permuted so that neither the eight
/// lanes that read two keys for K, nor the lanes that read four keys apart by two for V,
/// share a bank.
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

/// Eight 4-bit codes n0 .. n7 of a word as four pairs of fp16, exact and without a subtraction:
///   int4   n moved to the foot of an fp16 is the subnormal n·2^-24, 16·n one nibble higher:
///          (n0, n4), 16·(n1, n5), (n2, n6), 16·(n3, n7)
///   fp4    E2M1 moved to the top of E4M3's fields is 2^-6 of its value:
///          (n0, n2), (n1, n3), (n4, n6), (n5, n7), then times `scale`
template <Code kCode>
__device__ __forceinline__ void widen_nibbles(std::uint32_t (&x)[4], std::uint32_t word,
                                              std::uint32_t scale) {
  if constexpr (kCode == Code::int4) {
    x[0] = word & 0x000f000fu, x[1] = word & 0x00f000f0u;
    x[2] = word >> 8 & 0x000f000fu, x[3] = word >> 8 & 0x00f000f0u;
  } else {
    const std::uint32_t even = (word << 4 & 0x80808080u) | (word << 2 & 0x1c1c1c1cu);
    const std::uint32_t odd = (word & 0x80808080u) | (word >> 2 & 0x1c1c1c1cu);
    const std::uint32_t codes[4] = {even, odd, even >> 16, odd >> 16};
#pragma unroll
    for (int i = 0; i < 4; ++i)
      x[i] = bits(__hmul2(as_half2(widen_e4m3(codes[i])), as_half2(scale)));
  }
}
/// What the widened codes must be multiplied with, and what those that came out 16 times as large.
template <Code kCode>
constexpr float kCodeUnit = kCode == Code::int4  ? 16777216.f
                            : kCode == Code::fp4 ? 64.f
                                                 : 1.f;
template <Code kCode>
constexpr float kOddUnit = kCode == Code::int4 ? 1 / 16.f : 1.f;

/// Column of K that element `hi` (first of its pair) of step `step` of the contraction stands for,
/// and the distance to the pair's second. With hi = 1, int4 codes come out 16 times as large.
template <Code kCode>
__device__ __forceinline__ int k_column(int step, int c, int hi) {
  if constexpr (kCodeBits<kCode> == 8) return step / 4 * 64 + 16 * c + step % 4 * 4 + 2 * hi;
  return 32 * c + step / 2 * 8 + step % 2 * (kCode == Code::int4 ? 2 : 4) + hi;
}
template <Code kCode>
constexpr int kPairDistance = kCodeBits<kCode> == 8 ? 1
                              : kCode == Code::int4 ? 4
                                                    : 2;

/// K's pieces of 16 bytes a key and lane, and the steps of the contraction
/// that a word of one feeds.
template <Code kCode>
constexpr int kPieces = kCodeBits<kCode> / 4;
template <Code kCode>
constexpr int kWordSteps = 8 / kCodeBits<kCode>;

/// A word of K's codes: elements `hi` of step h are x[2·h + hi]. scale: of these columns (fp4).
template <Code kCode>
__device__ __forceinline__ void widen_k(std::uint32_t (&x)[2 * kWordSteps<kCode>],
                                        std::uint32_t word, std::uint32_t scale) {
  if constexpr (kCodeBits<kCode> == 8) {
    const uint2 pairs = widen_bytes<kCode>(word);
    x[0] = pairs.x, x[1] = pairs.y;
  } else {
    widen_nibbles<kCode>(x, word, scale);
  }
}

/// Operand A of O^T for 16 keys: f(j, a) for each of the 8 products. `row(i)` is key 2c, 2c + 1,
/// 2c + 8, 2c + 9 of them; scale01, scale23: of their pairs (fp4). int4: a[1] and a[3] come out 16
/// times as large.
template <Code kCode, class Rows, class Row, class F>
__device__ __forceinline__ void v_operands(const Rows& rows, int g, const Row& row,
                                           std::uint32_t scale01, std::uint32_t scale23,
                                           const F& f) {
  const auto product = [&](int j, std::uint32_t x0, std::uint32_t x1, std::uint32_t y0,
                           std::uint32_t y1) {
    const std::uint32_t a[4] = {x0, x1, y0, y1};
    f(j, a);
  };
  if constexpr (kCodeBits<kCode> == 8) {
    uint4 chunks[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) chunks[i] = rows.chunk(row(i), g);
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const auto word = [&](int i) {
        return reinterpret_cast<const std::uint32_t*>(&chunks[i])[w];
      };
      // two keys' bytes side by side: columns 4w, 4w + 1 and 4w + 2, 4w + 3
      const uint2 x01 = widen_bytes<kCode>(__byte_perm(word(0), word(1), 0x5140));
      const uint2 x23 = widen_bytes<kCode>(__byte_perm(word(0), word(1), 0x7362));
      const uint2 y01 = widen_bytes<kCode>(__byte_perm(word(2), word(3), 0x5140));
      const uint2 y23 = widen_bytes<kCode>(__byte_perm(word(2), word(3), 0x7362));
      product(2 * w, x01.x, x01.y, y01.x, y01.y);
      product(2 * w + 1, x23.x, x23.y, y23.x, y23.y);
    }
  } else {
    // int4: two keys' halves of a word side by side; fp4: their bytes.
    constexpr int kLow = kCode == Code::int4 ? 0x5410 : 0x5140,
                  kHigh = kCode == Code::int4 ? 0x7632 : 0x7362;
    uint2 halves[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) halves[i] = rows.half_chunk(row(i), g);
#pragma unroll
    for (int w = 0; w < 2; ++w)
#pragma unroll
      for (int part = 0; part < 2; ++part) {  // columns 8·w + 4·part and the next three
        const auto word = [&](int i) { return w == 0 ? halves[i].x : halves[i].y; };
        const int which = part == 0 ? kLow : kHigh, j = 4 * w + 2 * part;
        std::uint32_t x[4], y[4];
        widen_nibbles<kCode>(x, __byte_perm(word(0), word(1), which), scale01);
        widen_nibbles<kCode>(y, __byte_perm(word(2), word(3), which), scale23);
        product(j, x[0], x[1], y[0], y[1]);
        product(j + 1, x[2], x[3], y[2], y[3]);
      }
  }
}

}  // namespace kvroof::kernels
