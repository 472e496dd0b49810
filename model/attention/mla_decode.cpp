#include "model/attention/mla_decode.hpp"

#include <algorithm>

#include "model/attention/pipes.hpp"

namespace kvroof::attention {
namespace {

// FlashMLA: 64 query rows, 64 tokens, P handed between the two warpgroups through shared memory.
constexpr Tile kTile{.m = 64, .n = 64, .p_in_smem = true, .overlap = 1};

}  // namespace

Bytes mla_token_bytes(double d_c, double d_rope, Dtype kv) {
  const bool scaled = info(kv).scale_bits > 0;
  const ElementSize rotary = scaled ? element_size(Dtype::bf16) : element_size(kv);
  return Elements{d_c} * element_size(kv) + Elements{d_rope} * rotary;
}

Cost mla_decode(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  Options packed = o;
  packed.tile = o.tile.value_or(kTile);
  packed.packed_group = true;
  return mla_decode_planned(x, f, chip, decode_plan(x, chip, packed));
}

Cost mla_decode_planned(const AttentionShape& x, const Formats& f, const OnChip& chip,
                        const DecodePlan& plan) {
  const double tokens = x.b * x.h_kv * visible_tokens(x);
  const Bytes cache = tokens * mla_token_bytes(x.d_v, x.d_qk - x.d_v, f.kv);
  return decode(x, f, chip, plan, cache, Elements{tokens * x.d_qk});
}

MlaCycles mla_cycles(const BalancedSplit& split, const MlaKernel& kernel, double rows, int blocks,
                     const OnChip& chip) {
  constexpr double kRows = 64, kChange = 7000, kWrittenPerClock = 32;
  constexpr double kQRow = 2 * 576, kOutRow = 2 * 512, kPartialRow = 4 * 512;
  const std::vector<int>&stream_first = split.stream_first, &worker_first = split.worker_first;
  const double workers = static_cast<double>(worker_first.size()) - 1;
  const double share = std::min(64.0, kHbmBytesPerClock * chip.num_sms / (workers * blocks));
  const double tile = std::max(kernel.step, kernel.tile.value / share);
  MlaCycles longest;
  std::size_t stream = 0;
  for (std::size_t w = 0; w + 1 < worker_first.size(); ++w) {
    const int first = worker_first[w], end = worker_first[w + 1];
    while (stream_first[stream + 1] <= first) ++stream;
    std::size_t last = stream;
    while (stream_first[last + 1] < end) ++last;
    const bool whole = stream_first[last] >= first && stream_first[last + 1] == end;
    const double out = whole ? rows * kOutRow / share : kRows * kPartialRow / kWrittenPerClock;
    const MlaCycles now{(end - first) * tile + static_cast<double>(last - stream) * kChange,
                        kernel.start + rows * kQRow / share + out};
    if (now.tiles + now.fill > longest.tiles + longest.fill) longest = now;
  }
  return longest;
}

double merge_cycles(double pieces, double at_once, Bytes partials, const OnChip& chip) {
  constexpr double kTrip = 600, kPiece = 65;
  const double lots = ceil_div(pieces, at_once);
  return std::max(lots * (kTrip + at_once * kPiece),
                  partials.value / (kPartialBytesPerClock * chip.num_sms));
}

}  // namespace kvroof::attention
