// Eight bf16 at a time, 16 bytes an access, as fp32 in registers.
#pragma once
#include "kernels/mma.cuh"

namespace kvroof::kernels {

struct Floats8 {
  float x[8];
};

__device__ __forceinline__ Floats8 unpack8(const uint4& raw) {
  const std::uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
  Floats8 out;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out.x[2 * i] = __uint_as_float(words[i] << 16);
    out.x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
  return out;
}
__device__ __forceinline__ uint4 pack8(const Floats8& v) {
  return make_uint4(pack_bf16(v.x[0], v.x[1]), pack_bf16(v.x[2], v.x[3]), pack_bf16(v.x[4], v.x[5]),
                    pack_bf16(v.x[6], v.x[7]));
}

/// For data that this kernel reads once.
__device__ __forceinline__ uint4 stream8(const bf16* p) {
  return __ldcs(reinterpret_cast<const uint4*>(p));
}
__device__ __forceinline__ Floats8 load8(const bf16* p) { return unpack8(stream8(p)); }

__device__ __forceinline__ void store8(bf16* p, const uint4& v) {
  *reinterpret_cast<uint4*>(p) = v;
}
__device__ __forceinline__ void store8(bf16* p, const Floats8& v) { store8(p, pack8(v)); }

}  // namespace kvroof::kernels
