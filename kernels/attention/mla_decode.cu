// Absorbed MLA decode on mma.sync: its tiles, launch and catalogue row. The kernel and what it reads
// and writes: mla_decode.cuh.                         model: model/attention/mla_decode.cpp
#include "kernels/attention/mla_decode.cuh"

#include "kernels/attention/entries.hpp"
#include "kernels/check.hpp"
#include "kernels/device.hpp"
#include "kernels/mla_case.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/split_kv.hpp"

namespace kvroof::kernels {
namespace {

// Up to 16 rows one mma tile; above, 64. The larger tiles need more shared memory than an A100 has.
using Few = MlaTile<1, 1, 4, 64, 1>;
using FewSmall = MlaTile<1, 1, 2, 32, 1>;
using Many = MlaTile<2, 2, 4, 64, 1>;
using ManySmall = MlaTile<1, 4, 2, 32, 1>;

/// f.operator()<Tile>() for the tile of so many query rows on this GPU.
template <class F>
auto with_tile(double rows, const F& f) {
  int device = 0, shared = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  const bool large = shared >= static_cast<int>(sizeof(MlaSmem<Many>));
  if (rows <= 16) return large ? f.template operator()<Few>() : f.template operator()<FewSmall>();
  return large ? f.template operator()<Many>() : f.template operator()<ManySmall>();
}

template <class T>
void launch_tile(const MlaParams& p, cudaStream_t stream) {
  constexpr int kSmem = sizeof(MlaSmem<T>);
  static const cudaError_t ready =
      cudaFuncSetAttribute(mla_decode<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem);
  CUDA_CHECK(ready);
  const SplitParams& s = p.split;
  const dim3 grid(s.splits, (s.s_q * s.h_q + T::kRows - 1) / T::kRows, s.b);
  mla_decode<T><<<grid, T::kThreads, kSmem, stream>>>(p);
  CUDA_CHECK(cudaGetLastError());
  if (s.splits > 1) launch_combine(s, T::kDv, stream);
}

template <class T>
attention::Tile tile_of() {
  return {.m = T::kRows,
          .n = T::kKeys,
          .ctas_per_sm = T::kCtasPerSm,
          .p_in_smem = true,
          .mma_rows = 16 * T::kRowTiles,
          .row_lanes = 4 * T::kColGroups,
          .row_ends = 4 * T::kColGroups,
          .mma_sync = true,
          .col_groups = T::kColGroups};
}

Case make(const Args& args) {
  const MlaData data = mla_data(args);
  const AttentionShape& x = data.shape;
  const attention::Tile tile = with_tile(x.s_q * x.h_q, [&]<class T>() { return tile_of<T>(); });
  int splits = static_cast<int>(arg(args, "splits", 0));
  if (splits == 0)
    splits = static_cast<int>(
        attention::split_count({.blocks = x.b * std::ceil(x.s_q * x.h_q / tile.m),
                                .key_tiles = std::ceil(x.s_kv / 256),
                                .slots = 1.0 * on_chip().num_sms * tile.ctas_per_sm}));
  Buffer partials;
  const MlaParams p{.split = split_params(data.attention, splits, partials),
                    .heads = Divisor(static_cast<int>(x.h_q)),
                    .splits = Divisor(splits),
                    .cache = data.attention.k.as<bf16>(),
                    .table = data.table.as<int>(),
                    .lengths = data.lengths.as<int>(),
                    .max_pages = data.max_pages,
                    .page_shift = page_shift(data.page)};
  const double rows = x.s_q * x.h_q;
  const auto launch = [=](cudaStream_t stream) {
    (void)partials;  // p points to it
    with_tile(rows, [&]<class T>() { launch_tile<T>(p, stream); });
  };
  return mla_decode_case("mla_decode", data,
                         {.tile = tile, .splits = splits, .kernels = splits > 1 ? 2 : 1}, launch);
}

}  // namespace

Entry mla_decode_entry() {
  return {.name = "mla_decode",
          .title = "absorbed MLA decode over the paged latent, on mma.sync",
          .shapes = mla_decode_shapes(),
          .make = make};
}

}  // namespace kvroof::kernels
