#include "model/attention/flash_v3.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <vector>

#include "model/elementwise.hpp"

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

/// Q, K and V from BF16 to E4M3.
Work quantising_passes(const AttentionShape& x, bool incoherent) {
  const auto pass = [](double heads, double s, double d, double block, bool rotated) {
    return elementwise::quantise(heads * s, d, element_size(Dtype::bf16), element_size(Dtype::fp8),
                                 {.rows_per_scale = block, .groups = heads, .incoherent = rotated});
  };
  Work w = pass(x.b * x.h_q, x.s_q, x.d_qk, kQueryBlock, incoherent);
  w += pass(x.b * x.h_kv, x.s_kv, x.d_qk, kKeyBlock, incoherent);
  w += pass(x.b * x.h_kv, x.s_kv, x.d_v, kKeyBlock, false);
  return w;
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
  // TMA loads Q as what leaves L2 first; cp.async, which feeds mma.sync, as any other row.
  const bool q_leaves_l2 = !t.mma_sync;
  return forward(
      x, f, chip,
      {.tile = t, .packed = packed, .sinks = o.sinks, .lse = o.lse, .q_leaves_l2 = q_leaves_l2});
}

Cost flash_v3_fp8(const AttentionShape& x, const OnChip& chip, const Options& o) {
  Cost c = flash_v3(x, {.act = Dtype::fp8, .kv = Dtype::fp8, .math = MathType::fp8}, chip, o);
  const Bytes v{x.b * x.h_kv * x.s_kv * x.d_v};
  const Bytes transposed{x.b * x.h_kv * round_up(x.s_kv, 64) * x.d_v};
  c.work.read.kv += transposed;
  c.work.written.activations += transposed + Bytes{x.b * x.h_q * x.s_q * x.d_v};
  c.work.l2_to_sm += v;
  c.work.launches = 2;
  // The pass goes through all of V before the first V^T is read: what L2 holds of both is left.
  c.handed_over = 2 * l2_hit(v + transposed, chip) * transposed;
  if (o.block_scales) {
    const double keys = x.b * x.h_kv * ceil_div(x.s_kv, kKeyBlock);
    const Bytes of_q{4 * x.b * x.h_q * ceil_div(x.s_q, kQueryBlock)}, of_kv{8 * keys};
    const Bytes for_kernel{16 * keys};
    c.work.read.activations += of_q;
    c.work.read.kv += of_kv + for_kernel;
    c.work.written.activations += for_kernel;
    c.work.l2_to_sm += of_q + of_kv + for_kernel;
    c.handed_over += 2 * for_kernel;
  }
  if (o.from_bf16) {
    const Work passes = quantising_passes(x, o.incoherent);
    // Codes that L2 still holds when they are read: of Q and K past all codes and V^T; of V, the
    // last to be written and the first to be read, past V and what is written of V^T by then.
    const Bytes qk{x.b * (x.h_q * x.s_q + x.h_kv * x.s_kv) * x.d_qk};
    const auto of_v = [&](double done) { return l2_hit_own_rows(v + done * transposed, chip); };
    const Bytes left =
        l2_hit(qk + v + transposed, chip) * qk + (of_v(0) + 4 * of_v(0.5) + of_v(1)) / 6 * v;
    c.work.read += passes.read, c.work.written += passes.written;
    c.work.l2_to_sm += passes.l2_to_sm;
    c.work.fp32 += passes.fp32;
    c.work.launches += passes.launches;
    c.handed_over += 2 * left;
  }
  return c;
}

double pass_cycles(const AttentionShape& x, const OnChip& chip, const Options& o) {
  constexpr double kTransposed = 16.5;
  const double v = 2 * x.b * x.h_kv * x.s_kv * x.d_v;
  Bytes hbm, smem;
  if (o.from_bf16) {
    const Work passes = quantising_passes(x, o.incoherent);
    hbm = passes.hbm(), smem = passes.smem;
  }
  return (v / kTransposed + hbm.value / kHbmBytesPerClock + smem.value / kHopperPipes.smem_bytes) /
         chip.num_sms;
}

double combine_cycles(const CutTiles& cut, const Tile& t, double d_v, const OnChip& chip) {
  const double partials = cut.parts > 1 ? 4 * cut.tiles * cut.parts * t.m * (d_v + 1) : 0;
  return partials / (kPartialBytesPerClock * chip.num_sms);
}

Cost with_cut_tiles(Cost c, const Tile& t, double d_qk, double d_v, double element_bytes,
                    const CutTiles& cut) {
  const Bytes partial{4 * cut.tiles * cut.parts * t.m * (d_v + 1)};
  c.work.read.activations += partial;
  c.work.written.activations += partial;
  c.work.l2_to_sm += partial + Bytes{element_bytes * cut.tiles * (cut.parts - 1) * t.m * d_qk};
  c.work.launches += 1;
  c.handed_over += 2 * partial;
  return c;
}

double tile_overhead(double d_v) { return 2340 + 1.9 * d_v; }

double tile_overhead_e4m3(double rows, double d_v) {
  return 1840 + 0.83 * 2 * rows * d_v / kHbmBytesPerClock;
}

double exposed_q(Bytes q, double hbm_busy) {
  constexpr double kBytesPerClock = 64, kExposed = 0.52;
  return kExposed * q.value / (kBytesPerClock * (1 - std::min(hbm_busy, 0.9)));
}

double busiest_sm(const AttentionShape& x, const Tile& t, const Step& step, const Schedule& s,
                  const OnChip& chip) {
  const auto q_tiles = static_cast<int>(ceil_div(x.s_q, t.m));
  std::vector<double> tile_cycles;  // of one head, in the order of rows
  for (int i = 0; i < q_tiles; ++i) {
    const double seen_by_all = x.causal ? std::min(x.s_kv, x.s_kv - x.s_q + 1 + i * t.m) : x.s_kv;
    const double seen = x.causal ? std::min(x.s_kv, x.s_kv - x.s_q + (i + 1.0) * t.m) : x.s_kv;
    // Where the tensor cores bind, the first softmax of a tile has no products to hide under.
    const double fill = step.mma > step.chain ? step.chain : 0;
    const double steps = std::max(1.0, ceil_div(seen, t.n));
    const double masked = std::min(steps, steps - std::floor(std::max(0.0, seen_by_all) / t.n));
    tile_cycles.push_back((steps - masked) * step.longest() + masked * step.masked() + fill +
                          s.per_tile);
  }
  std::priority_queue<double, std::vector<double>, std::greater<>> free_at;
  for (int i = 0; i < chip.num_sms; ++i) free_at.push(0);
  double last = 0, taken = 0;
  const double heads = x.b * x.h_q, whole = heads * q_tiles - s.cut.tiles;
  for (double head = 0; head < heads; head += s.section)
    for (int from_first = 0; from_first < q_tiles; ++from_first) {
      const int i = s.longest_first ? q_tiles - 1 - from_first : from_first;
      for (double h = head; h < std::min(heads, head + s.section); ++h) {
        const double parts = taken++ < whole ? 1 : s.cut.parts;
        for (double part = 0; part < parts; ++part) {
          const double end = free_at.top() + tile_cycles[static_cast<std::size_t>(i)] / parts;
          free_at.pop(), free_at.push(end);
          last = std::max(last, end);
        }
      }
    }
  return last;
}

}  // namespace kvroof::attention
