#include "model/attention/tiling.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "model/attention/pipes.hpp"

namespace kvroof::attention {
namespace {

// Sum over i = 0 .. n-1 of floor((a·i + b) / m) with non-negative operands: Euclid's algorithm on
// the lattice points under the line.
std::int64_t floor_sum(std::int64_t n, std::int64_t m, std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  while (n > 0) {
    sum += (n - 1) * n / 2 * (a / m) + n * (b / m);
    a %= m, b %= m;
    const std::int64_t top = a * n + b;
    if (top < m) break;
    n = top / m, b = top % m;
    std::swap(m, a);
  }
  return sum;
}

// assumed: see dequant_work. fp8: one conversion of two values (a quarter-rate instruction) and the
// scale. int8, int4: magic-number insertion and one FMA. fp4: a table look-up by byte permutation,
// then the block scale.
double dequant_slots(Dtype kv) {
  switch (kv) {
    case Dtype::fp8:
    case Dtype::fp8_block128:
    case Dtype::fp8_per_token:
      return 2.5;
    case Dtype::int8:
    case Dtype::int8_per_token:
      return 2;
    case Dtype::int4_g128:
      return 1.5;
    case Dtype::nvfp4:
    case Dtype::mxfp4:
      return 3;
    default:
      return 0;
  }
}

}  // namespace

double sum_clamped_floor(double k, double a, double b, double c, double cap) {
  if (k <= 0 || cap <= 0) return 0;
  if (a <= 0) return k * std::clamp(std::floor(b / c), 0.0, cap);
  const double first = std::clamp(std::ceil((c - b) / a), 0.0, k);         // term reaches 1
  const double full = std::clamp(std::ceil((cap * c - b) / a), first, k);  // term reaches cap
  const auto whole = [](double v) { return static_cast<std::int64_t>(v); };
  const std::int64_t rising =
      floor_sum(whole(full - first), whole(c), whole(a), whole(a * first + b));
  return static_cast<double>(rising) + cap * (k - full);
}

TileCount count_tiles(const AttentionShape& x, double g, double m, double n, double sinks) {
  const double s_q = std::ceil(x.s_q), s_kv = std::ceil(x.s_kv);
  const double rows = ceil_div(s_q * g, m), columns = ceil_div(s_kv, n);
  const bool causal = x.causal || x.window > 0;
  if (!causal || (s_q == 1 && x.window <= 0))
    return {.q_tiles = rows, .visited = rows * columns, .keys = rows * x.s_kv};

  // Key tiles below the diagonal of the tile's last row; queries (i+1)·m / g may end inside a tile.
  const double offset = s_kv - s_q, step = g * n;
  const auto upto = [&](double cap) {
    return sum_clamped_floor(rows, m, (offset + n) * g + m - 1, step, cap);
  };
  const double below = upto(columns);
  const double at_end = below - upto(columns - 1);  // row tiles that reach the last key
  TileCount c{.q_tiles = rows, .visited = below};
  if (x.window > 0) {
    const double start = (offset + 1 - std::ceil(x.window)) * g;
    c.visited -= sum_clamped_floor(rows, m, start, step, columns);
    c.visited += sum_clamped_floor(rows, m, start, step, ceil_div(sinks, n));
  }
  c.keys = n * c.visited - at_end * (n * columns - s_kv);
  return c;
}

double longest_block(const AttentionShape& x, const TileCount& c, double g, double m, double n,
                     double sinks) {
  if (c.visited <= 0) return 1;
  double most = ceil_div(std::ceil(x.s_kv), n);
  if (x.window > 0) most = std::min(most, ceil_div(x.window + m / g, n) + ceil_div(sinks, n));
  return std::max(1.0, most * c.q_tiles / c.visited);
}

double paper_pairs(const AttentionShape& x, double sinks) {
  if (!x.causal && x.window <= 0) return x.s_q * x.s_kv;
  const double w = x.window > 0 ? x.window : x.s_kv;
  const auto ramp = [](double t, double top) {  // integral of min(u, top) for u = 0 .. t
    if (t <= 0) return 0.0;
    return t < top ? t * t / 2 : top * (t - top / 2);
  };
  const auto seen = [&](double t) { return ramp(t, w) + ramp(t - w, sinks); };
  return seen(x.s_kv) - seen(std::max(0.0, x.s_kv - x.s_q));
}

double visible_tokens(const AttentionShape& x, double sinks) {
  if (x.window <= 0) return x.s_kv;
  return std::min(x.s_kv, x.window + x.s_q - 1 + sinks);
}

Flops product_flops(const AttentionShape& x, double pairs) {
  return Flops{2 * x.b * x.h_q * pairs * (x.d_qk + x.d_v)};
}

Work tile_work(double tiles, const Tile& t, double d_qk, double d_v, const Formats& f) {
  const double m = t.m, n = t.n, e = operand_bytes(f.math);
  const double products = 2 * m * n * (round_up(d_qk, 32 / e) + round_up(d_v, 8));
  Work w;
  w.exps = tiles * (m * n + m * t.row_lanes);
  w.fp32 = Flops{2 * tiles * (kSoftmaxSlots * m * n + m * d_v)};
  if (t.m == 1) {
    w.fp32 += Flops{tiles * 2 * n * (d_qk + d_v)};
    return w;
  }
  w.flops_executed = Flops{tiles * products};
  w.smem = Bytes{tiles * tile_smem_bytes(t, d_qk, d_v, e)};
  return w;
}

double row_end_exps(double rows, const Tile& t, double d_v) {
  const double full = std::floor(rows / t.m);
  const auto lanes = [&](double r) { return round_up(r * d_v / 4, 32); };
  const double merging = full * lanes(t.m) + lanes(rows - full * t.m);
  return round_up(rows, 8) * t.row_ends + (t.merged_warps > 0 ? merging * (t.merged_warps + 1) : 0);
}

Flops dequant_work(Elements elements, Dtype kv, MathType math) {
  if (info(kv).bits >= 16 || info(kv).math == math) return Flops{};
  return Flops{2 * dequant_slots(kv) * elements.value};
}

Bytes kv_reread(Bytes stream, double ctas, double share, const Tile& t, const OnChip& chip) {
  if (stream <= chip.l2_effective) return Bytes{};
  const double waves = ctas / (1.0 * chip.num_sms * t.ctas_per_sm);
  return std::max(0.0, waves * share - 1) * stream;
}

double wave_refetches(Bytes stream, double streams, double blocks, Bytes own, double lag,
                      const Tile& t, const OnChip& chip) {
  const double slots = 1.0 * chip.num_sms * t.ctas_per_sm,
               waves = ceil_div(streams * blocks, slots);
  if (waves <= 1) return 0;
  // Wave i ends at block i·slots, which starts a stream where `blocks` divides it.
  const auto whole = [](double x) { return static_cast<std::int64_t>(std::ceil(x)); };
  const double period = static_cast<double>(whole(blocks) / std::gcd(whole(blocks), whole(slots)));
  const double cuts = waves - 1 - std::floor((waves - 1) / period);
  const Bytes between = (streams + cuts) / waves * stream + slots * own;
  return cuts * (1 - l2_hit(lag * between, chip));
}

Execution execution_of(const Tile& t) {
  return {.ctas_per_sm = t.ctas_per_sm, .pipe_overlap = t.overlap, .mma_sync = t.mma_sync};
}

}  // namespace kvroof::attention
