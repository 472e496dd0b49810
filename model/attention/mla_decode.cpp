#include "model/attention/mla_decode.hpp"

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

}  // namespace kvroof::attention
