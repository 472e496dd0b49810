#include "model/attention/flash_v3.hpp"

namespace kvroof::attention {
namespace {

constexpr double kOverlap = 0.3;  // of exponentials and FP32 work; see the header

Tile wgmma_tile(int m, int n, bool p_in_smem = false) {
  return {.m = m, .n = n, .p_in_smem = p_in_smem, .overlap = kOverlap};
}

Tile fp8_tile(double d, bool window) {
  if (d <= 64) return wgmma_tile(192, 160);
  if (d <= 96) return wgmma_tile(192, 128);
  if (d <= 128) return wgmma_tile(128, 224);
  if (d <= 192) return wgmma_tile(128, 160);
  return wgmma_tile(128, window ? 64 : 128);
}

}  // namespace

Tile flash_v3_tile(double d_qk, double d_v, bool causal, bool window, MathType math) {
  if (math == MathType::fp8) return fp8_tile(d_qk, window);
  if (d_qk <= 64) {
    if (d_v > 256) return wgmma_tile(64, 64, true);
    if (d_v > 64) return wgmma_tile(128, 96);
    return causal || window ? wgmma_tile(192, 128) : wgmma_tile(192, 192, true);
  }
  if (d_qk <= 96) return wgmma_tile(192, window ? 128 : 144, true);
  if (d_qk <= 128) return wgmma_tile(128, causal || window ? 128 : 176);
  if (d_qk <= 192) return wgmma_tile(128, window ? 96 : d_v <= 128 ? 128 : 112);
  return wgmma_tile(128, window ? 64 : 80);
}

Cost flash_v3(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const bool local = x.window > 0 && x.window < x.s_kv;
  const bool causal = x.causal || x.window > 0;
  const Tile t = o.tile.value_or(flash_v3_tile(x.d_qk, x.d_v, causal, local, f.math));
  const bool packed = x.group() > 1 && should_pack(x.s_q, x.group(), t.m);
  return forward(x, f, chip, {.tile = t, .packed = packed, .sinks = o.sinks, .lse = o.lse});
}

}  // namespace kvroof::attention
