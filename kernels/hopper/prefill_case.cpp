#include "kernels/hopper/prefill_case.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/check.hpp"
#include "kernels/device.hpp"
#include "kernels/reference.hpp"
#include "model/attention/flash_v3.hpp"

namespace kvroof::kernels::hopper {
namespace {

int whole(double x) { return static_cast<int>(x); }
Buffer elements(double n, Dtype d) {
  return Buffer(static_cast<std::size_t>(n * (d == Dtype::fp8 ? 1 : d == Dtype::fp32 ? 4 : 2)));
}

struct Row {
  int request, head, token;
};

std::vector<Row> rows_to_check(const flash_v3::Shape& x) {
  const double all = double{1} * x.b * x.h_q * x.s_q;
  std::vector<Row> rows;
  if (all * x.s_kv * (x.d_qk + x.d_v) < 1e9) {
    for (int b = 0; b < x.b; ++b)
      for (int h = 0; h < x.h_q; ++h)
        for (int t = 0; t < x.s_q; ++t) rows.push_back({b, h, t});
    return rows;
  }
  std::mt19937_64 random(fresh_seed());
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  rows = {{0, 0, 0}, {x.b - 1, x.h_q - 1, x.s_q - 1}};
  while (rows.size() < 96) rows.push_back({below(x.b), below(x.h_q), below(x.s_q)});
  return rows;
}

}  // namespace

flash_v3::Shape prefill_shape(const Args& a) {
  flash_v3::Shape x;
  x.b = whole(arg(a, "b", 1)), x.h_q = whole(arg(a, "h_q", 16));
  x.h_kv = whole(arg(a, "h_kv", x.h_q)), x.s_q = whole(arg(a, "s_q", 1024));
  x.s_kv = whole(arg(a, "s_kv", x.s_q)), x.d_qk = whole(arg(a, "d_qk", 128));
  x.d_v = whole(arg(a, "d_v", x.d_qk)), x.causal = arg(a, "causal", 0) != 0;
  return x;
}

AttentionShape model_shape(const flash_v3::Shape& x) {
  return {.b = double(x.b),
          .s_q = double(x.s_q),
          .s_kv = double(x.s_kv),
          .h_q = double(x.h_q),
          .h_kv = double(x.h_kv),
          .d_qk = double(x.d_qk),
          .d_v = double(x.d_v),
          .causal = x.causal};
}

std::string shape_name(const flash_v3::Shape& x) {
  const auto n = [](int v) { return std::to_string(v); };
  return "b" + n(x.b) + " h" + n(x.h_q) + "/" + n(x.h_kv) + " s" + n(x.s_q) + "/" + n(x.s_kv) +
         " d" + n(x.d_qk) + (x.d_v != x.d_qk ? "/" + n(x.d_v) : "") + (x.causal ? " causal" : "");
}

PrefillData prefill_data(const Args& a, Dtype input, Dtype output) {
  const flash_v3::Shape x = prefill_shape(a);
  const double queries = double{1} * x.b * x.h_q * x.s_q, keys = double{1} * x.b * x.h_kv * x.s_kv;
  PrefillData data{.shape = x,
                   .input = input,
                   .output = output,
                   .scale = static_cast<float>(1 / std::sqrt(double(x.d_qk))),
                   .sigma = static_cast<float>(arg(a, "sigma", 1)),
                   .q = elements(queries * x.d_qk, input),
                   .k = elements(keys * x.d_qk, input),
                   .v = elements(keys * x.d_v, input),
                   .o = elements(queries * x.d_v, output),
                   .lse = elements(queries, Dtype::fp32),
                   .ticket = to_device(std::vector<unsigned>{0})};
  fill_random(data.q, input, data.sigma), fill_random(data.k, input), fill_random(data.v, input);
  return data;
}

flash_v3::Call prefill_call(const PrefillData& data) {
  const flash_v3::Shape& x = data.shape;
  const auto contiguous = [](const Buffer& buffer, int h, int s, int d) {
    const std::int64_t row = d, head = row * s;
    return flash_v3::Tensor{buffer.as(), head * h, head, row};
  };
  return {.shape = x,
          .scale = data.scale,
          .q = contiguous(data.q, x.h_q, x.s_q, x.d_qk),
          .k = contiguous(data.k, x.h_kv, x.s_kv, x.d_qk),
          .v = contiguous(data.v, x.h_kv, x.s_kv, x.d_v),
          .o = contiguous(data.o, x.h_q, x.s_q, x.d_v),
          .lse = data.lse.as<float>(),
          .ticket = data.ticket.as<unsigned>()};
}

Verdict verify_prefill(const PrefillData& data, const std::function<void(cudaStream_t)>& launch,
                       double tolerance) {
  fill_random(data.q, data.input, data.sigma);
  fill_random(data.k, data.input), fill_random(data.v, data.input);
  poison(data.o), poison(data.lse);
  launch(nullptr);
  return check_prefill(data, to_floats(data.q, data.input), to_floats(data.k, data.input),
                       to_floats(data.v, data.input), tolerance);
}

Verdict check_prefill(const PrefillData& data, std::span<const float> q, std::span<const float> k,
                      std::span<const float> v, double tolerance) {
  CUDA_CHECK(cudaDeviceSynchronize());
  if (to_host<unsigned>(data.ticket)[0] != 0)
    return {.tolerance = tolerance, .detail = "the tile counter was not reset"};

  const flash_v3::Shape& x = data.shape;
  const std::vector<float> o = to_floats(data.o, data.output),
                           lse = to_floats(data.lse, Dtype::fp32);
  const reference::Attention call{.b = x.b,
                                  .s_q = x.s_q,
                                  .s_kv = x.s_kv,
                                  .h_q = x.h_q,
                                  .h_kv = x.h_kv,
                                  .d_qk = x.d_qk,
                                  .d_v = x.d_v,
                                  .scale = data.scale,
                                  .causal = x.causal,
                                  .q = q,
                                  .k = k,
                                  .v = v,
                                  .q_rows = reference::head_major(x.s_q, x.h_q, x.d_qk),
                                  .k_rows = reference::head_major(x.s_kv, x.h_kv, x.d_qk),
                                  .v_rows = reference::head_major(x.s_kv, x.h_kv, x.d_v)};
  const std::vector<Row> rows = rows_to_check(x);
  const auto d = static_cast<std::size_t>(x.d_v);
  std::vector<double> expected(rows.size() * d), expected_lse(rows.size());
  std::vector<float> out(rows.size() * d), out_lse(rows.size());
  reference::parallel_for(static_cast<std::int64_t>(rows.size()), [&](std::int64_t n) {
    const auto i = static_cast<std::size_t>(n);
    const auto [request, head, token] = rows[i];
    const reference::AttentionRow row = reference::attention_row(call, request, token, head);
    const std::size_t at = (static_cast<std::size_t>(request) * static_cast<std::size_t>(x.h_q) +
                            static_cast<std::size_t>(head)) *
                               static_cast<std::size_t>(x.s_q) +
                           static_cast<std::size_t>(token);
    for (std::size_t c = 0; c < d; ++c) {
      expected[i * d + c] = row.out[c];
      out[i * d + c] = o[at * d + c];
    }
    expected_lse[i] = row.lse, out_lse[i] = lse[at];
  });
  const Verdict of_o = compare(expected, out, tolerance);
  if (!of_o.ok) return of_o;
  const Verdict of_lse = compare(expected_lse, out_lse, tolerance);
  return of_lse.ok ? of_o : of_lse;
}

double xu_lanes(const flash_v3::Shape& x, const attention::Tile& t, const XuPlan& plan) {
  const int q_tiles = (x.s_q + t.m - 1) / t.m;
  double visited = 0, plain = 0;       // key tiles; those that need no mask and are not the first
  for (int i = 0; i < q_tiles; ++i) {  // as place() in kernels/hopper/forward/schedule.cuh
    const int seen_by_all = x.causal ? std::min(x.s_kv, x.s_kv - x.s_q + 1 + i * t.m) : x.s_kv;
    const int seen = x.causal ? std::min(x.s_kv, seen_by_all + t.m - 1) : x.s_kv;
    visited += std::max(1, (seen + t.n - 1) / t.n);
    plain += std::max(0, seen_by_all / t.n - 1);
  }
  const double corrected = plan.corrections == Corrections::always     ? visited
                           : plan.corrections == Corrections::unmasked ? q_tiles + plain
                                                                       : q_tiles;
  const double of_rows =  // exponentials; corrections and 1 / l in the four lanes of a row
      (visited - plan.poly_share * plain) * t.n + 4 * (plan.of_correction * corrected + q_tiles);
  const int warps = t.m / 16, of_tile = warps * plan.of_warp + plan.placing_warps * kPlaceXu;
  return 1. * x.b * x.h_q * (t.m * of_rows + 32. * q_tiles * of_tile);
}

Execution with_cycles(const attention::Cost& cost, const flash_v3::Shape& x,
                      const attention::Tile& tile, double element_bytes, CyclePlan plan) {
  const bool e4m3 = element_bytes == 1;
  plan.step.warpgroups = tile.m / 64;
  const attention::Step step = attention::step_cycles(
      tile, x.d_qk, x.d_v, element_bytes,
      e4m3 ? attention::kHopperFp8Pipes : attention::kHopperPipes, plan.step);
  attention::Schedule schedule{
      .section = plan.section_heads,
      .longest_first = plan.longest_first,
      .per_tile = plan.per_tile + (e4m3 ? attention::tile_overhead_e4m3(tile.m, x.d_v)
                                        : attention::tile_overhead(x.d_v)),
      .cut = plan.cut};
  const int sms = gpu().num_sms;
  const auto cycles = [&] {
    return attention::busiest_sm(model_shape(x), tile, step, schedule, {.num_sms = sms});
  };
  Execution e = cost.execution;
  e.tensor_busy = step.mma / step.longest();
  e.sm_cycles = cycles(), e.fill_cycles = attention::kFirstTile;
  if (plan.q_stages > 1) return e;
  const double hbm = cost.work.hbm().value / (attention::kHbmBytesPerClock * sms);
  schedule.per_tile +=
      attention::exposed_q(Bytes{element_bytes * tile.m * x.d_qk}, hbm / e.sm_cycles);
  e.sm_cycles = cycles();
  return e;
}

void add_paper_shapes(std::vector<Args>& shapes, double d_qk, double d_v) {
  for (const double causal : {0., 1.})
    for (const double s : {512., 1024., 2048., 4096., 8192., 16384.})
      shapes.push_back({{"b", 16384 / s},
                        {"h_q", 2048 / d_v},
                        {"s_q", s},
                        {"d_qk", d_qk},
                        {"d_v", d_v},
                        {"causal", causal}});
}

}  // namespace kvroof::kernels::hopper
