#include "model/accuracy/moe_operator.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/accuracy/pass.hpp"
#include "model/gemm.hpp"
#include "model/lowering.hpp"
#include "model/time.hpp"

namespace kvroof::accuracy {
namespace {

constexpr double kActivation = 2;  // bytes of an element

struct Format {
  Dtype weights;
  MathType math;
  double in;  // bytes of an element of the products' input
  bool narrow() const { return in < kActivation; }
};

Format format_of(Dtype weights, const Machine& m) {
  const MathType math = lower({}, {}, m).math_of(weights);
  const bool narrow = math == MathType::fp8 || math == MathType::fp4 || math == MathType::int8;
  return {weights, math, narrow ? info(weights).bits / 8 : kActivation};
}

double sum(const std::vector<double>& rows) {
  return std::accumulate(rows.begin(), rows.end(), 0.0);
}

/// rows [Σ rows, k] · an expert's [k, n] each, in the tile that suits the mean expert.
Seconds products_time(const std::vector<double>& rows, double n, double k, const Format& f,
                      const Machine& m) {
  const OnChip chip{.num_sms = m.num_sms, .l2_effective = m.l2_effective};
  const double experts = static_cast<double>(rows.size()), pairs = sum(rows);
  const double mean = std::max(1.0, pairs / experts);
  GemmTile tile = gemm_tile(mean, n, k, chip);
  tile.split_k = 1;
  const double height = tile.m * tile.cluster_m;
  double tiles = 0;
  for (double r : rows) tiles += std::ceil(r / height);
  Op op;
  op.name = "experts", op.op_class = OpClass::moe_gemm, op.math = f.math;
  op.work = gemm(mean, n, k, {.weight = element_size(f.weights), .in = ElementSize{f.in}}, tile,
                 chip, experts);
  const double uneven = tiles / (experts * std::ceil(mean / height));
  op.work.flops = Flops{2 * pairs * n * k};
  op.work.flops_executed = uneven * op.work.flops_executed;
  op.work.ctas *= uneven, op.work.l2_to_sm = uneven * op.work.l2_to_sm;
  op.work.read.activations = Bytes{f.in * pairs * k};
  op.work.written.activations = Bytes{kActivation * pairs * n};
  return time(op, m, Launch::graph).expected;
}

/// Radix selection, two bits of a BF16 logit a pass and a barrier after each: eight passes of about a
/// microsecond. 256 threads a block, so eight blocks an SM.
Seconds selection_time(double tokens, const Machine& m) {
  constexpr Seconds kSelection{8e-6};
  return std::floor(tokens / (8.0 * m.num_sms)) * kSelection;  // the first wave is a launch's ramp
}

Seconds call_time(const MoeCall& c, const Format& f, const std::vector<double>& rows,
                  const Machine& m) {
  const Routing& r = c.routing;
  const double pairs = sum(rows), wide = (c.gated ? 2 : 1) * c.inter;
  const bool by_torch = r.experts > c.routed_experts || r.top_k > c.routed_top_k;
  const double route = by_torch ? 5 : 1, sort = c.here <= 256 ? 1 : 3;
  const bool converts_first =
      f.narrow() && !(m.architecture == "hopper" && f.weights == Dtype::fp8_block128);
  // Logits are read; indices, weights and positions of the pairs go through three passes.
  Seconds t = pass_time(m, Bytes{c.here * (kActivation * r.experts + 24 * r.top_k)}, route + sort);
  if (by_torch) t += selection_time(c.here, m);
  if (converts_first) t += pass_time(m, Bytes{c.here * c.hidden * (kActivation + f.in)});
  t += pass_time(m, Bytes{c.hidden * (kActivation * std::min(c.here, pairs) + f.in * pairs)});
  if (m.architecture != "ampere") t += pass_time(m, {});
  t += products_time(rows, wide, c.hidden, f, m);
  t += pass_time(m, Bytes{pairs * (kActivation * wide + f.in * c.inter)});
  t += products_time(rows, c.hidden, c.inter, f, m);
  return t + pass_time(m, Bytes{kActivation * c.hidden * (pairs + c.here)});
}

}  // namespace

Seconds moe_operator_time(const MoeCall& call, const Machine& machine) {
  constexpr int kDraws = 5;  // of the benchmark; evenly dealt tokens need one
  const Format f = format_of(call.weights, machine);
  Machine m = machine;  // the tables' grouped products keep the shares of their formats in GEMMs
  m.moe_format[static_cast<std::size_t>(f.math)] = m.format[static_cast<std::size_t>(f.math)];
  const int draws = call.routing.exponent > 0 ? kDraws : 1;
  Seconds all;
  for (int i = 0; i < draws; ++i)
    all += call_time(call, f, expert_rows(call.routing, static_cast<unsigned>(i)), m);
  return (1.0 / draws) * (m.launch.graph_launch + all);
}

}  // namespace kvroof::accuracy
