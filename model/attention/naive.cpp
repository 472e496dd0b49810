#include "model/attention/naive.hpp"

#include <algorithm>

#include "model/attention/pipes.hpp"

namespace kvroof::attention {
namespace {

constexpr Tile kGemmTile{.m = 128, .n = 128, .ctas_per_sm = 2, .mma_rows = 64, .mma_sync = true};

struct Tensors {
  Bytes q, k, v, o, scores;  // scores: one [s_q, s_kv] matrix per query head
};

Tensors tensors(const AttentionShape& x, const Formats& f) {
  const double rows = x.b * x.h_q * x.s_q, keys = x.b * x.h_kv * x.s_kv;
  return {.q = Elements{rows * x.d_qk} * f.act_size(),
          .k = Elements{keys * x.d_qk} * f.kv_size(),
          .v = Elements{keys * x.d_v} * f.kv_size(),
          .o = Elements{rows * x.d_v} * f.act_size(),
          .scores = Elements{rows * x.s_kv} * f.act_size()};
}

// One batched product of `batch` matrices [m, k]·[k, n] in tiles:
// flops_executed, smem, ctas, launch.
Work batched_product(double batch, double m, double n, double k, const Tile& t, MathType math) {
  const double e = operand_bytes(math), depth = round_up(k, 32 / e);
  const double rows = round_up(m, t.m), columns = round_up(n, std::min(1.0 * t.n, round_up(n, 8)));
  const double tiles = batch * (rows / t.m) * ceil_div(columns, t.n);
  Work w;
  w.flops_executed = Flops{2 * batch * rows * columns * depth};
  w.smem = Bytes{tiles * e * depth * (t.m + 1.0 * t.m / t.mma_rows * std::min(1.0 * t.n, columns))};
  w.ctas = tiles, w.launches = 1;
  return w;
}

// The scores are handed from kernel to kernel; L2 keeps them only when all of them fit.
Bytes kept(Bytes passes, Bytes scores, const OnChip& chip) {
  return scores <= chip.l2_effective ? passes : Bytes{};
}

// Scores that are overwritten in L2 never reach HBM.
Bytes overwritten(Bytes scores, const OnChip& chip) { return kept(scores, scores, chip); }

Cost elementwise_pass(double scores_read, double scores_written, const Tensors& a,
                      const OnChip& chip) {
  Work w;
  w.read.activations = scores_read * a.scores;
  w.written.activations = scores_written * a.scores;
  w.l2_to_sm = w.read.activations;
  w.launches = 1;
  return {.work = w, .handed_over = kept(w.hbm(), a.scores, chip)};
}

Cost& operator+=(Cost& a, const Cost& b) {
  a.work += b.work;
  a.handed_over += b.handed_over;
  a.kept.written += b.kept.written;
  return a;
}

}  // namespace

std::array<Cost, 5> naive_backward_kernels(const AttentionShape& x, const Formats& f,
                                           const OnChip& chip, const Tile& t, const Tile& output) {
  const Tensors a = tensors(x, f);
  const double batch = x.b * x.h_q;
  // An output's blocks have output.m rows and the whole head; dP goes in tiles of t.m by t.n.
  const double key_blocks = ceil_div(x.s_kv, t.n), query_blocks = ceil_div(x.s_q, t.n);
  const auto product = [&](const Tile& tile, double m, double n, double k) {
    return Cost{.work = batched_product(batch, m, n, k, tile, f.math),
                .execution = execution_of(tile),
                .handed_over = kept(a.scores, a.scores, chip)};
  };
  Cost dv = product(output, x.s_kv, x.d_v, x.s_q), dp = product(t, x.s_q, x.s_kv, x.d_v),
       dq = product(output, x.s_q, x.d_qk, x.s_kv), dk = product(output, x.s_kv, x.d_qk, x.s_q);
  dv.work.read.activations = a.scores + a.o, dv.work.written.activations = a.v;
  dv.work.l2_to_sm = a.scores + key_blocks * a.o;
  dp.work.read = {.kv = a.v, .activations = a.o}, dp.work.written.activations = a.scores;
  dp.work.l2_to_sm = key_blocks * a.o + x.group() * ceil_div(x.s_q, t.m) * a.v;
  dp.kept.written = overwritten(a.scores, chip);  // dS overwrites dP where it stands
  dq.work.read = {.kv = a.k, .activations = a.scores}, dq.work.written.activations = a.q;
  dq.work.l2_to_sm = a.scores + x.group() * query_blocks * a.k;
  dk.work.read.activations = a.scores + a.q, dk.work.written.activations = a.k;
  dk.work.l2_to_sm = a.scores + key_blocks * a.q;

  Cost ds = elementwise_pass(2, 1, a, chip);
  ds.work.fp32 = Flops{2 * 3 * batch * x.s_q * x.s_kv};  // subtract, multiply, row sum
  ds.execution = {.ctas_per_sm = 8, .mma_sync = t.mma_sync};
  return {dv, dp, ds, dq, dk};
}

namespace {

Cost naive_backward(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o,
                    const Tile& t) {
  Cost c{.execution = execution_of(t)};
  for (const Cost& kernel : naive_backward_kernels(x, f, chip, t, t)) c += kernel;
  c.work.flops = 2 * product_flops(x, paper_pairs(x));
  for (int i = 0; i < o.unfused_passes; ++i) c += elementwise_pass(1, 1, tensors(x, f), chip);
  return c;
}

}  // namespace

Cost naive_scores(const AttentionShape& x, const Formats& f, const OnChip& chip, const Tile& t) {
  const Tensors a = tensors(x, f);
  Work w = batched_product(x.b * x.h_q, x.s_q, x.s_kv, x.d_qk, t, f.math);
  w.flops = Flops{2 * x.b * x.h_q * paper_pairs(x) * x.d_qk};
  w.read = {.kv = a.k, .activations = a.q};
  w.written.activations = a.scores;
  w.l2_to_sm = ceil_div(x.s_q, t.m) * x.group() * a.k + ceil_div(x.s_kv, t.n) * a.q;
  return {.work = w, .execution = execution_of(t), .handed_over = kept(a.scores, a.scores, chip)};
}

Cost naive_softmax(const AttentionShape& x, const Formats& f, const OnChip& chip, const Tile& t) {
  const double scores = x.b * x.h_q * x.s_q * x.s_kv;
  Cost c = elementwise_pass(1, 1, tensors(x, f), chip);
  c.work.exps = scores;
  c.work.fp32 = Flops{2 * kSoftmaxSlots * scores};
  c.work.ctas = x.b * x.h_q * x.s_q;  // a block a row
  c.execution = {.ctas_per_sm = 16, .pipe_overlap = 1, .mma_sync = t.mma_sync};
  c.kept.written = overwritten(tensors(x, f).scores, chip);  // P overwrites S where it stands
  return c;
}

Cost naive_output(const AttentionShape& x, const Formats& f, const OnChip& chip, const Tile& t) {
  const Tensors a = tensors(x, f);
  Work w = batched_product(x.b * x.h_q, x.s_q, x.d_v, x.s_kv, t, f.math);
  w.flops = Flops{2 * x.b * x.h_q * paper_pairs(x) * x.d_v};
  w.read = {.kv = a.v, .activations = a.scores};
  w.written.activations = a.o;
  w.l2_to_sm = ceil_div(x.s_q, t.m) * x.group() * a.v + ceil_div(x.d_v, t.n) * a.scores;
  return {.work = w, .execution = execution_of(t), .handed_over = kept(a.scores, a.scores, chip)};
}

Cost naive(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const Tile t = o.tile.value_or(kGemmTile);
  if (o.backward) return naive_backward(x, f, chip, o, t);
  Cost c = naive_scores(x, f, chip, t);
  c += naive_softmax(x, f, chip, t);
  c += naive_output(x, f, chip, t);
  for (int i = 0; i < o.unfused_passes; ++i) c += elementwise_pass(1, 1, tensors(x, f), chip);
  return c;
}

}  // namespace kvroof::attention
