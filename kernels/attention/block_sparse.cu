// Block-sparse FlashAttention forward.                    model: model/attention/block_sparse.cpp
//   O = softmax(scale · Q·K^T + mask) · V over the key tiles that a head's mask keeps
//   q, o [b, h_q, s_q, d]   k, v [b, h_kv, s_kv, d]   bf16   lse [b, h_q, s_q] fp32
//   first [b·h_q·row blocks + 1], live [kept tiles] int32: key tiles of each (request, head, block
//     of kM query rows), newest first: flash_loop takes a list from its end
// The loop of flash_v2 (kernels/flash_loop.cuh); instead of a band it walks a list. The mask is as
// coarse as the kernel's tiles, so a tile is live or it is neither loaded nor computed; scores are
// masked only on the causal diagonal and past the last key. Rows without a live tile yield zeros.
//   HBM read   q, the lists, and each K/V tile that some row block keeps      written   o, lse
//   L2 to SM   kM·d + kept tiles·2·kN·d elements per block, 4 bytes a list entry
#include <algorithm>
#include <random>

#include "kernels/attention/entries.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/check.hpp"
#include "kernels/divisor.cuh"
#include "kernels/flash_prefill.hpp"
#include "kernels/flash_tiles.cuh"
#include "kernels/split_kv.hpp"
#include "model/attention/block_sparse.hpp"

namespace kvroof::kernels {
namespace {

/// The key tiles of one row block, as flash_loop asks for them.
template <int kN>
struct LiveTiles {
  BandTiles<kN> band;  // says which tiles need a mask
  const int* live;
  int live_count;

  __device__ int count() const { return live_count; }
  __device__ int tile(int i) const { return live[i]; }
  __device__ bool plain(int tile) const { return band.plain(tile); }
  template <int kTiles>
  __device__ __forceinline__ void mask(float (&s)[kTiles][4], int tile, int row, int key) const {
    band.mask(s, tile, row, key);
  }
};

template <class T>
__global__ __launch_bounds__(T::kThreads,
                             T::kCtasPerSm) void forward(const FlashParams p, const Divisor group,
                                                         const int* first, const int* live) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<FlashSmem<T>*>(shared);

  const int row_blocks = gridDim.x, row_block = row_blocks - 1 - blockIdx.x;  // longest first
  const int head = blockIdx.y, request = blockIdx.z, kv_head = group.quotient(head);
  const int first_row = row_block * T::kM, rows = ::min(T::kM, p.s_q - first_row);
  const int list = (request * p.h_q + head) * row_blocks + row_block, begin = first[list];

  const auto at = [&](const void* base, const Strides& s, int h) {
    return static_cast<const bf16*>(base) + request * s.request + h * s.head;
  };
  const bf16* q = at(p.q, p.q_strides, head) + first_row * p.q_strides.token;
  const DenseRows kv{at(p.k, p.k_strides, kv_head), at(p.v, p.v_strides, kv_head),
                     p.k_strides.token, p.v_strides.token};
  const LiveTiles<T::kN> tiles{BandTiles<T::kN>(p.band, first_row, rows), live + begin,
                               first[list + 1] - begin};
  const float scale = p.scale * kLog2e;  // exponents to base 2

  FlashWarp<T> w;
  flash_loop<T>(
      w, smem, first_row, rows, [&](int r) { return q + r * p.q_strides.token; }, kv, p.band.s_kv,
      tiles, scale);

  bf16* o = const_cast<bf16*>(at(p.o, p.o_strides, head)) + first_row * p.o_strides.token;
  float* lse = p.lse + (static_cast<std::int64_t>(request) * p.h_q + head) * p.s_q + first_row;
  store_output<T>(
      w, smem, rows, scale, [&](int r) { return o + r * p.o_strides.token; },
      [&](int r, float value) { lse[r] = value; });
}

template <class T>
void launch_tile(const FlashParams& p, const int* first, const int* live, cudaStream_t stream) {
  constexpr int kSmem = sizeof(FlashSmem<T>);
  static const cudaError_t ready =
      cudaFuncSetAttribute(forward<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem);
  CUDA_CHECK(ready);
  const dim3 grid((p.s_q + T::kM - 1) / T::kM, p.h_q, p.b);
  forward<T><<<grid, T::kThreads, kSmem, stream>>>(p, Divisor(p.h_q / p.h_kv), first, live);
  CUDA_CHECK(cudaGetLastError());
}

/// Which tiles each head keeps, and the lists of those that its band does not hide anyway.
struct SparseMask {
  int m = 0, n = 0, row_blocks = 0, columns = 0;
  std::vector<std::uint8_t> keep;  // [b·h_q, row_blocks, columns]
  std::vector<int> first, live;
  double visible = 0;  // tiles that the band alone would visit
  double read = 0;     // key tiles of a K/V head that some row keeps, over all K/V heads
};

/// density: share of tiles kept at random; local: key tiles kept up to the diagonal, beside the
/// first one (0: none), the pattern of arXiv:2007.14062. Drawn from a fixed sequence, so that a
/// shape keeps as many tiles whenever it is made.
template <class T>
SparseMask random_mask(const FlashParams& p, double density, int local) {
  SparseMask x{.m = T::kM,
               .n = T::kN,
               .row_blocks = (p.s_q + T::kM - 1) / T::kM,
               .columns = (p.band.s_kv + T::kN - 1) / T::kN};
  std::mt19937_64 random(17);
  x.first.push_back(0);
  std::vector<bool> read(static_cast<std::size_t>(p.b * p.h_kv * x.columns));
  for (int head = 0; head < p.b * p.h_q; ++head)
    for (int block = 0; block < x.row_blocks; ++block) {
      const int rows = std::min(T::kM, p.s_q - block * T::kM);
      const BandTiles<T::kN> band(p.band, block * T::kM, rows);
      const int newest = ((block + 1) * T::kM - 1 + p.band.s_kv - p.s_q) / T::kN;
      std::vector<std::uint8_t> row(static_cast<std::size_t>(x.columns));
      for (int column = x.columns - 1; column >= 0; --column) {
        const bool near =
            local > 0 && (column == 0 || (column <= newest && column > newest - local));
        const bool kept = near || static_cast<double>(random() % 65536) < 65536 * density;
        const bool visible = column < band.end;
        row[static_cast<std::size_t>(column)] = kept;
        x.visible += visible;
        if (!kept || !visible) continue;
        x.live.push_back(column);
        const int kv_head = head / (p.h_q / p.h_kv);
        read[static_cast<std::size_t>(kv_head * x.columns + column)] = true;
      }
      x.keep.insert(x.keep.end(), row.begin(), row.end());
      x.first.push_back(static_cast<int>(x.live.size()));
    }
  x.read = static_cast<double>(std::count(read.begin(), read.end(), true));
  return x;
}

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  AttentionData data = head_major_data(x, args);
  refill(data);
  const FlashParams p = flash_params(data);
  const auto mask = with_flash_tile(p.d, [&]<class T>() {
    return random_mask<T>(p, arg(args, "density", 0.25), static_cast<int>(arg(args, "local", 0)));
  });
  data.mask_of = [=, heads = data.call.h_q](reference::Attention& call, std::int64_t request,
                                            std::int64_t head) {
    const std::int64_t tiles = std::int64_t{mask.row_blocks} * mask.columns;
    const auto begin = mask.keep.begin() + (request * heads + head) * tiles;
    call.block_mask.assign(begin, begin + tiles);
    call.block_q = mask.m, call.block_k = mask.n;
  };
  const Buffer first = to_device(mask.first);
  // a list without entries is a valid one, a buffer without bytes is not
  const Buffer live = to_device(mask.live.empty() ? std::vector<int>{0} : mask.live);
  const auto launch = [=, keep = data](cudaStream_t stream) {
    with_flash_tile(p.d,
                    [&]<class T>() { launch_tile<T>(p, first.as<int>(), live.as<int>(), stream); });
  };
  const auto kept = static_cast<double>(mask.live.size());
  const attention::Cost cost =
      attention::block_sparse(x, {}, on_chip(),
                              {.tile = flash_v2_kernel_tile(p.d),
                               .sparsity = mask.visible > 0 ? kept / mask.visible : 1,
                               .kept_keys = mask.read / (1. * p.b * p.h_kv * mask.columns)});
  return {.name = "block_sparse " + shape_name(x) + " kept" +
                  std::to_string(static_cast<int>(100 * kept / std::max(1.0, mask.visible))) + "%",
          .op = attention_op("block_sparse", OpClass::prefill_attention, cost),
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); }};
}

}  // namespace

Entry block_sparse_entry() {
  const auto shape = [](double s, double d, double causal, double density, double local) {
    return Args{{"b", 16384 / s},   {"h_q", 2048 / d},    {"s_q", s},      {"d", d},
                {"causal", causal}, {"density", density}, {"local", local}};
  };
  return {.name = "block_sparse",
          .title = "FlashAttention over the tiles a mask keeps",
          .shapes = {{{"h_q", 8}, {"s_q", 2048}, {"causal", 0}, {"density", 0.5}},  // 8 MB: L2
                     shape(2048, 128, 0, 0.5, 0),
                     shape(4096, 128, 0, 0.25, 0),
                     shape(8192, 128, 0, 0.5, 0),
                     shape(8192, 128, 0, 0.125, 0),
                     shape(8192, 128, 1, 0.25, 0),
                     shape(16384, 128, 1, 0.125, 4),
                     shape(16384, 128, 1, 0.02, 8),
                     shape(16384, 128, 0, 0.25, 0),
                     shape(8192, 64, 0, 0.25, 0),
                     shape(8192, 64, 1, 0.1, 4),
                     shape(16384, 64, 1, 0.25, 0),
                     shape(8192, 256, 1, 0.25, 0),
                     {{"b", 4}, {"h_q", 32}, {"h_kv", 8}, {"s_q", 8192}, {"density", 0.2}}},
          .make = make};
}

}  // namespace kvroof::kernels
