// GQA decode: results of warps, of a cluster, of the pieces of a stream.
#pragma once
#include "kernels/hopper/gqa/shared.cuh"

namespace kvroof::kernels::gqa_tma {

struct Merged {
  float4 o;
  float lse2;
};

/// Weighted mean of results that arrive one after another: o, and its weight's logarithm lse2.
struct Mean {
  float4 o = make_float4(0, 0, 0, 0);
  float top = -INFINITY, sum = 0;  // `sum` weights in units of 2^top

  /// kCount results at once; the first `count` exist. All loads leave before the first is used.
  template <int kCount, class O, class Lse>
  __device__ __forceinline__ void add(int count, const O& part, const Lse& part_lse2) {
    float4 x[kCount];
    float lse2[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      lse2[i] = i < count ? part_lse2(i) : -INFINITY;
      x[i] = i < count ? part(i) : make_float4(0, 0, 0, 0);
    }
    float larger = top;
#pragma unroll
    for (int i = 0; i < kCount; ++i) larger = fmaxf(larger, lse2[i]);
    const float shift = larger == -INFINITY ? 0.f : larger, correction = exp2_approx(top - shift);
    top = larger, sum *= correction;
    o.x *= correction, o.y *= correction, o.z *= correction, o.w *= correction;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const float weight = exp2_approx(lse2[i] - shift);
      sum += weight;
      o.x += weight * x[i].x, o.y += weight * x[i].y;
      o.z += weight * x[i].z, o.w += weight * x[i].w;
    }
  }
  /// Of the lane whose number differs in the bits of `mask`; both get the sum.
  __device__ __forceinline__ void add_lane(int mask) {
    const auto theirs = [&](float x) { return __shfl_xor_sync(~0u, x, mask); };
    const Mean other{make_float4(theirs(o.x), theirs(o.y), theirs(o.z), theirs(o.w)), theirs(top),
                     theirs(sum)};
    const float larger = fmaxf(top, other.top), shift = larger == -INFINITY ? 0.f : larger;
    const float a = exp2_approx(top - shift), b = exp2_approx(other.top - shift);
    top = larger, sum = a * sum + b * other.sum;
    o.x = a * o.x + b * other.o.x, o.y = a * o.y + b * other.o.y;
    o.z = a * o.z + b * other.o.z, o.w = a * o.w + b * other.o.w;
  }
  __device__ __forceinline__ Merged merged() const {
    const float inverse = sum > 0 ? 1 / sum : 0.f;
    return {make_float4(o.x * inverse, o.y * inverse, o.z * inverse, o.w * inverse),
            sum > 0 ? top + log2f(sum) : -INFINITY};
  }
};

__device__ __forceinline__ void store(const Params& p, std::int64_t row, int d, int column,
                                      const Merged& m) {
  *reinterpret_cast<uint2*>(p.o + row * d + column) =
      make_uint2(pack_bf16(m.o.x, m.o.y), pack_bf16(m.o.z, m.o.w));
  if (column == 0 && p.lse != nullptr) p.lse[row] = m.lse2 * 0.6931471805599453f;
}

/// The warps' results of rows [first, first + 8) of a piece -> o and lse, or partial results.
template <class T>
__device__ __forceinline__ void merge_warps(const Params& p, Smem<T>& smem, const Piece& piece,
                                            const Rows& rows, int first) {
  constexpr int kQuads = T::kD / 4;
  const int count = ::min(T::kMergeRows, rows.count - first);
  for (int i = threadIdx.x; i < count * kQuads; i += T::kThreads) {
    const int r = i / kQuads, column = i % kQuads * 4;
    // A warp's O is not divided by its sum yet: its weight 2^max, and the sums add up by the same.
    float top = -INFINITY, sum = 0;
#pragma unroll
    for (int w = 0; w < T::kWarps; ++w) top = fmaxf(top, smem.max2[w][r]);
    const float shift = top == -INFINITY ? 0.f : top;
    float4 x = make_float4(0, 0, 0, 0);
#pragma unroll
    for (int w = 0; w < T::kWarps; ++w) {
      const float weight = exp2_approx(smem.max2[w][r] - shift);
      const float4 o = *reinterpret_cast<const float4*>(&smem.o[w][r][column]);
      sum += weight * smem.sum[w][r];
      x.x += weight * o.x, x.y += weight * o.y, x.z += weight * o.z, x.w += weight * o.w;
    }
    const float inverse = sum > 0 ? 1 / sum : 0.f;
    const Merged m{make_float4(x.x * inverse, x.y * inverse, x.z * inverse, x.w * inverse),
                   sum > 0 ? top + log2f(sum) : -INFINITY};
    if (piece.whole) {
      store(p, rows.row(p, first + r), T::kD, column, m);
    } else if (p.clusters) {
      smem.part.o[first + r][column / 4] = m.o;
      if (column == 0) smem.part.lse2[first + r] = m.lse2;
    } else {
      const std::int64_t row = static_cast<std::int64_t>(piece.slot) * T::kRows + first + r;
      *reinterpret_cast<float4*>(p.part_o + row * T::kD + column) = m.o;
      if (column == 0) p.part_lse2[row] = m.lse2;
    }
  }
}

/// Counts a piece of a stream. What the block wrote before is visible to whoever counts later: the
/// barrier before it orders the block's writes, the release carries them on.
__device__ __forceinline__ unsigned take_ticket(unsigned* tickets) {
  unsigned before;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;"
               : "=r"(before)
               : "l"(tickets)
               : "memory");
  return before;
}

/// The last piece of a cut stream finds all partial results written and merges them.
template <class T>
__device__ __forceinline__ void merge_stream(const Params& p, Smem<T>& smem, const Piece& piece,
                                             const Rows& rows) {
  constexpr int kQuads = T::kD / 4, kAtOnce = T::kMergeAtOnce;
  const int4 stream = stream_range(p.plan, piece.stream);
  const int pieces = stream.w - stream.z + 1;
  __syncthreads();  // all partial results of this block are written
  if (threadIdx.x == 0) smem.ticket = take_ticket(p.tickets + piece.stream);
  __syncthreads();
  if (smem.ticket + 1 != static_cast<unsigned>(pieces)) return;
  if (threadIdx.x == 0) p.tickets[piece.stream] = 0;
  // Two lanes a quad of columns: one takes the even pieces, one the odd. A warp takes 16 quads, so
  // all its lanes leave the loop together.
  const int odd = threadIdx.x % 2;
  for (int i = threadIdx.x / 2; i < rows.count * kQuads; i += T::kThreads / 2) {
    const int r = i / kQuads, column = i % kQuads * 4;
    Mean mean;
#pragma unroll 1
    for (int first = odd; first < pieces; first += 2 * kAtOnce) {
      const auto row = [&](int n) {
        const int worker = stream.z + first + 2 * n;  // below 2^32 elements: short addresses
        return static_cast<unsigned>(slot_of(worker, stream.z) * T::kRows + r);
      };
      mean.add<kAtOnce>(
          (pieces - first + 1) / 2,
          [&](int n) {
            return __ldcg(reinterpret_cast<const float4*>(p.part_o + row(n) * T::kD + column));
          },
          [&](int n) { return __ldcg(p.part_lse2 + row(n)); });
    }
    mean.add_lane(1);
    if (odd == 0) store(p, rows.row(p, r), T::kD, column, mean.merged());
  }
}

/// The blocks of a cluster hold one stream: each merges its half of the columns.
template <class T>
__device__ __forceinline__ void merge_cluster(const Params& p, const Smem<T>& smem,
                                              const Rows& rows) {
  constexpr int kQuads = T::kD / 4;
  hopper::cluster_sync();  // all results are written
  const int rank = hopper::cluster_rank();
  for (int i = rank + kCluster * threadIdx.x; i < rows.count * kQuads;
       i += kCluster * T::kThreads) {
    const int r = i / kQuads, quad = i % kQuads;
    Mean mean;
    mean.add<kCluster>(
        kCluster, [&](int n) { return hopper::load_peer(smem.part.o[r][quad], n); },
        [&](int n) { return hopper::load_peer(smem.part.lse2[r], n); });
    store(p, rows.row(p, r), T::kD, 4 * quad, mean.merged());
  }
  hopper::cluster_sync();  // all have read
}

}  // namespace kvroof::kernels::gqa_tma
