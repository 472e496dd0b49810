#include "tests/hopper/layer_kernels.hpp"

#include "kernels/hopper/fragment.cuh"
#include "kernels/hopper/named_barrier.cuh"
#include "kernels/hopper/registers.cuh"
#include "kernels/hopper/tma.cuh"
#include "kernels/hopper/wgmma.cuh"

namespace kvroof::kernels::hopper {
namespace {

using Bf16 = __nv_bfloat16;

template <class T>
__device__ T& aligned_smem() {
  extern __shared__ std::uint8_t raw[];
  return *reinterpret_cast<T*>((reinterpret_cast<std::uintptr_t>(raw) + 1023) / 1024 * 1024);
}

template <int kRows>
struct TileSmem {
  alignas(1024) Bf16 tile[2][kRows][64];
  Mbarrier full;
};

__global__ void round_trip(const __grid_constant__ CUtensorMap from,
                           const __grid_constant__ CUtensorMap to, int row, uint4* image) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  auto& smem = aligned_smem<TileSmem<16>>();
  if (threadIdx.x == 0) {
    smem.full.init(1);
    fence_barrier_init();
    smem.full.arrive_expect(sizeof smem.tile);
    load_tile(smem.tile, from, smem.full, row, 1, 0);
  }
  __syncthreads();
  smem.full.wait(0);
  const auto* bytes = reinterpret_cast<const uint4*>(smem.tile);
  for (unsigned i = threadIdx.x; i < sizeof smem.tile / 16; i += blockDim.x) image[i] = bytes[i];
  if (threadIdx.x == 0) {
    store_tile(to, smem.tile, row, 1, 0);
    wait_stores_read();
  }
#endif
}

template <int kN>
struct ChainSmem {
  alignas(1024) Bf16 q[2][64][64];
  alignas(1024) Bf16 k[2][kN][64];
  alignas(1024) Bf16 v[2][kN][64];
  Mbarrier full;
};

template <int kN>
__global__ void __launch_bounds__(128, 1)
    chain(const __grid_constant__ CUtensorMap q, const __grid_constant__ CUtensorMap k,
          const __grid_constant__ CUtensorMap v, Bf16* out) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  auto& smem = aligned_smem<ChainSmem<kN>>();
  if (threadIdx.x == 0) {
    smem.full.init(1);
    fence_barrier_init();
    smem.full.arrive_expect(sizeof smem.q + sizeof smem.k + sizeof smem.v);
    load_tile(smem.q, q, smem.full, 0, 0, 0);
    load_tile(smem.k, k, smem.full, 0, 0, 0);
    load_tile(smem.v, v, smem.full, 0, 0, 0);
  }
  __syncthreads();
  smem.full.wait(0);
  float s[kN / 2], o[64];
  wgmma::fence();
#pragma unroll
  for (int i = 0; i < 8; ++i)
    wgmma::Mma<kN>::template ss<Bf16, wgmma::Major::k>(s, k_major(smem.q[i / 4]) + i % 4 * 32,
                                                       k_major(smem.k[i / 4]) + i % 4 * 32, i > 0);
  wgmma::commit();
  wgmma::wait<0>();
  wgmma::pin(s);
  std::uint32_t p[kN / 4];
  to_operand<Bf16>(p, s);
  wgmma::fence();
#pragma unroll
  for (int i = 0; i < kN / 16; ++i)
    wgmma::Mma<128>::template rs<Bf16, wgmma::Major::mn>(o, p + 4 * i,
                                                         mn_major(smem.v, kN) + i * 2048, i > 0);
  wgmma::commit();
  wgmma::wait<0>();
  wgmma::pin(o);
  for (int half = 0; half < 2; ++half)
    store_row(out + (fragment_row() + 8 * half) * 128, o, half, 1.f, true);
#endif
}

__global__ void __launch_bounds__(256, 1) turns_kernel(int turns, int* order) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  __shared__ int turn;
  if (threadIdx.x == 0) turn = 0;
  __syncthreads();
  const int me = warpgroup_index();
  if (me == 1) barrier_arrive(1, 256);
  for (int i = 0; i < turns; ++i) {
    barrier_sync(1 + me, 256);
    if (threadIdx.x % 128 == 0) order[turn++] = me;
    __threadfence_block();
    barrier_arrive(1 + (1 - me), 256);
  }
#endif
}

CUtensorMap map(const Buffer& x, int h, int s, int d, int rows) {
  return tile_map(contiguous(x.as(), 1, h, s, d), CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, rows);
}

template <class K, class... A>
void launch(K kernel, int threads, std::size_t smem, A... arguments) {
  const int bytes = static_cast<int>(smem) + 1024;
  CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  kernel<<<1, threads, bytes>>>(arguments...);
  CUDA_CHECK(cudaGetLastError());
  CUDA_CHECK(cudaDeviceSynchronize());
}

}  // namespace

void tma_round_trip(const Buffer& x, int s, int row, const Buffer& image, const Buffer& copy) {
  launch(round_trip, 128, sizeof(TileSmem<16>), map(x, 2, s, 128, 16), map(copy, 2, s, 128, 16),
         row, image.as<uint4>());
}

void chained_products(const Buffer& q, const Buffer& k, const Buffer& v, int n, const Buffer& o) {
  const auto run = [&]<int kN>() {
    launch(chain<kN>, 128, sizeof(ChainSmem<kN>), map(q, 1, 64, 128, 64), map(k, 1, kN, 128, kN),
           map(v, 1, kN, 128, kN), o.as<Bf16>());
  };
  if (n == 80) run.template operator()<80>();
  else run.template operator()<176>();
}

void take_turns(int turns, const Buffer& order) {
  turns_kernel<<<1, 256>>>(turns, order.as<int>());
  CUDA_CHECK(cudaGetLastError());
  CUDA_CHECK(cudaDeviceSynchronize());
}

}  // namespace kvroof::kernels::hopper
