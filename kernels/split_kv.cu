#include "kernels/split_kv.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "kernels/check.hpp"
#include "kernels/combine.cuh"
#include "kernels/device.hpp"
#include "kernels/split_kv.cuh"
#include "model/attention/split_kv.hpp"

namespace kvroof::kernels {
namespace {

/// f.operator()<d>() for the head sizes that exist.
template <class F>
auto with_head_size(int d, const F& f) {
  switch (d) {
    case 64:
      return f.template operator()<64>();
    case 128:
      return f.template operator()<128>();
    case 256:
      return f.template operator()<256>();
  }
  throw std::invalid_argument("decode: head size must be 64, 128 or 256");
}

bool can_start_early() { return gpu().major >= 9; }

/// `early`: may be set up while the last blocks before it still run.
template <class... Params, class... Given>
void launch_kernel(void (*kernel)(Params...), dim3 grid, int threads, int smem, bool early,
                   cudaStream_t stream, const Given&... given) {
  cudaLaunchAttribute attr{.id = cudaLaunchAttributeProgrammaticStreamSerialization};
  attr.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = static_cast<unsigned>(threads), config.stream = stream;
  config.dynamicSmemBytes = static_cast<std::size_t>(smem);
  config.attrs = &attr, config.numAttrs = early ? 1 : 0;
  CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, given...));
}

/// Shared memory that two blocks of an SM cannot both have, beside what each block reserves.
int half_of_sm() {
  int device = 0, bytes = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device));
  return bytes / 2;
}

template <class T, class Cache>
void launch_attend(const SplitParams& p, const Cache& cache, cudaStream_t stream) {
  constexpr int kSmem = sizeof(SplitSmem<T>);
  static const int alone_smem = can_start_early() ? std::max(kSmem, half_of_sm()) : kSmem;
  static const cudaError_t ready = cudaFuncSetAttribute(
      attend_split<T, Cache>, cudaFuncAttributeMaxDynamicSharedMemorySize, alone_smem);
  CUDA_CHECK(ready);
  const int rows = p.s_q * (p.h_q / p.h_kv);
  const dim3 grid(p.splits, (rows + T::kRows - 1) / T::kRows, p.b * p.h_kv);
  // A block that starts early must keep its SM to itself, or some SMs get two and some none.
  const std::size_t bytes = std::size_t{4} * T::kD * static_cast<std::size_t>(p.b * p.h_kv) *
                            static_cast<std::size_t>(cache.longest());
  const bool alone =
      starts_early(bytes) && static_cast<int>(grid.x * grid.y * grid.z) <= gpu().num_sms;
  launch_kernel(attend_split<T, Cache>, grid, T::kThreads, alone ? alone_smem : kSmem, alone,
                stream, p, SplitDivisors(p), cache);
}

template <class Cache>
void launch(const SplitParams& p, const Cache& cache, int d, cudaStream_t stream) {
  with_head_size(d, [&]<int kD>() { launch_attend<DecodeTile<kD>>(p, cache, stream); });
  if (p.splits > 1) launch_combine(p, d, stream);
}

}  // namespace

DenseCache contiguous_cache(const Buffer& k, const Buffer& v, std::int64_t h_kv,
                            std::int64_t s_kv) {
  const int keys = static_cast<int>(s_kv);
  return {.k = k.as<__nv_bfloat16>(),
          .v = v.as<__nv_bfloat16>(),
          .s_kv = keys,
          .request_rows = static_cast<int>(h_kv) * keys,
          .head_rows = keys,
          .token_rows = 1};
}

int page_shift(int page) {
  if (page < 1 || !std::has_single_bit(static_cast<unsigned>(page)))
    throw std::invalid_argument("decode: block_size is a power of two");
  return std::countr_zero(static_cast<unsigned>(page));
}

void launch_split(const SplitParams& p, const DenseCache& cache, int d, cudaStream_t stream) {
  launch(p, cache, d, stream);
}
void launch_split(const SplitParams& p, const PagedCache& cache, int d, cudaStream_t stream) {
  launch(p, cache, d, stream);
}

void launch_combine(const SplitParams& p, int d, cudaStream_t stream) {
  const int parts = p.parts > 0 ? p.parts : p.splits;
  const CombineParams c{p.part_o, p.part_lse2, p.o, p.lse, p.b * p.s_q * p.h_q, parts};
  const auto launch = [&]<int kD>() {
    launch_kernel(combine<kD>, c.rows, CombineTile<kD>::kThreads, 0, can_start_early(), stream, c);
  };
  if (d == 512) return launch.template operator()<512>();  // MLA's latent
  with_head_size(d, launch);
}

bool starts_early(std::size_t cache_bytes) {
  return can_start_early() && cache_bytes < std::size_t{256} << 20;
}

attention::Tile decode_kernel_tile(int d) {
  return with_head_size(d, [&]<int kD>() {
    using T = DecodeTile<kD>;
    return attention::Tile{.m = T::kRows,
                           .n = T::kKeys,
                           .ctas_per_sm = T::kCtasPerSm,
                           .mma_rows = T::kRows,
                           .row_lanes = 4,
                           .merged_warps = T::kWarps,
                           .mma_sync = true,
                           .overlap = 1};
  });
}

attention::OnChip on_chip() {
  attention::OnChip chip;
  chip.num_sms = gpu().num_sms;
  return chip;
}

int choose_splits(const AttentionShape& x, const Args& args, int blocks_per_sm) {
  if (const double asked = arg(args, "splits", 0); asked > 0) return static_cast<int>(asked);
  // A split is worth its prologue with two tiles for each of its warps: count in 128 keys.
  const attention::Tile tile = decode_kernel_tile(static_cast<int>(x.d_qk));
  const double blocks = x.b * x.h_kv * std::ceil(x.s_q * x.group() / tile.m);
  return static_cast<int>(
      attention::split_count({.blocks = blocks,
                              .key_tiles = std::ceil(x.s_kv / 128),
                              .slots = 1.0 * on_chip().num_sms * blocks_per_sm}));
}

SplitParams split_params(const AttentionData& data, int splits, Buffer& partials) {
  const reference::Attention& c = data.call;
  const auto rows = static_cast<std::size_t>(c.b * c.s_q * c.h_q);
  const std::size_t parts = rows * static_cast<std::size_t>(splits);
  if (splits > 1) partials = Buffer(parts * static_cast<std::size_t>(c.d_v + 1) * sizeof(float));
  float* part_o = partials.as<float>();
  return {.q = data.q.as<__nv_bfloat16>(),
          .o = data.o.as<__nv_bfloat16>(),
          .lse = data.lse.as<float>(),
          .part_o = part_o,
          .part_lse2 = splits > 1 ? part_o + parts * static_cast<std::size_t>(c.d_v) : nullptr,
          .b = static_cast<int>(c.b),
          .h_q = static_cast<int>(c.h_q),
          .h_kv = static_cast<int>(c.h_kv),
          .s_q = static_cast<int>(c.s_q),
          .splits = splits,
          .scale = static_cast<float>(c.scale)};
}

}  // namespace kvroof::kernels
