#include "kernels/attention_case.hpp"

#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/check.hpp"

namespace kvroof::kernels {
namespace {

std::int64_t whole(double x) { return static_cast<std::int64_t>(x); }
Buffer bf16_buffer(std::int64_t elements) { return Buffer(static_cast<std::size_t>(elements) * 2); }

AttentionData common(const AttentionShape& x, const Args& args) {
  AttentionData data;
  data.call = {.b = whole(x.b),
               .s_q = whole(x.s_q),
               .s_kv = whole(x.s_kv),
               .h_q = whole(x.h_q),
               .h_kv = whole(x.h_kv),
               .d_qk = whole(x.d_qk),
               .d_v = whole(x.d_v),
               .scale = 1 / std::sqrt(x.d_qk),
               .causal = x.causal,
               .window = whole(x.window),
               .sinks = whole(arg(args, "sinks", 0))};
  data.sigma = static_cast<float>(arg(args, "sigma", 1));
  const std::int64_t queries = data.call.b * data.call.h_q * data.call.s_q;
  const std::int64_t keys = data.call.b * data.call.h_kv * data.call.s_kv;
  data.q = bf16_buffer(queries * data.call.d_qk);
  data.o = bf16_buffer(queries * data.call.d_v);
  data.k = bf16_buffer(keys * data.call.d_qk);
  data.v = bf16_buffer(keys * data.call.d_v);
  data.lse = Buffer(static_cast<std::size_t>(queries) * sizeof(float));
  data.call.k_rows = reference::head_major(data.call.s_kv, data.call.h_kv, data.call.d_qk);
  data.call.v_rows = reference::head_major(data.call.s_kv, data.call.h_kv, data.call.d_v);
  return data;
}

struct Row {
  std::int64_t request, token, head;
};

/// All rows if the oracle can do them in about a second, else 64 of them, the last token included.
std::vector<Row> rows_to_check(const reference::Attention& call) {
  std::vector<Row> rows;
  for (std::int64_t r = 0; r < call.b; ++r)
    for (std::int64_t t = 0; t < call.queries(r); ++t)
      for (std::int64_t h = 0; h < call.h_q; ++h) rows.push_back({r, t, h});
  const double products = static_cast<double>(rows.size()) * static_cast<double>(call.s_kv) *
                          static_cast<double>(call.d_qk + call.d_v);
  if (products < 1e9 || rows.size() <= 64) return rows;
  std::mt19937_64 random(fresh_seed());
  std::vector<Row> some{rows.front(), rows.back()};
  while (some.size() < 64) some.push_back(rows[random() % rows.size()]);
  return some;
}

}  // namespace

AttentionShape attention_shape(const Args& args) {
  for (const char* name : {"b", "s_q", "s_kv", "h_q", "h_kv", "d"})
    if (const double n = arg(args, name, 1); !(n >= 1 && n == std::floor(n)))
      throw std::invalid_argument(std::string("attention: ") + name +
                                  " is a whole number from 1 on");
  const double h_q = arg(args, "h_q", 32), d = arg(args, "d", 128), s_q = arg(args, "s_q", 1);
  const double h_kv = arg(args, "h_kv", h_q);
  if (std::fmod(h_q, h_kv) != 0)
    throw std::invalid_argument("attention: h_q is a multiple of h_kv");
  return {.b = arg(args, "b", 1),
          .s_q = s_q,
          .s_kv = arg(args, "s_kv", s_q),
          .h_q = h_q,
          .h_kv = h_kv,
          .d_qk = d,
          .d_v = d,
          .causal = arg(args, "causal", 1) != 0,
          .window = arg(args, "window", 0)};
}

AttentionData head_major_data(const AttentionShape& x, const Args& args) {
  AttentionData data = common(x, args);
  data.call.q_rows = reference::head_major(data.call.s_q, data.call.h_q, data.call.d_qk);
  data.o_rows = reference::head_major(data.call.s_q, data.call.h_q, data.call.d_v);
  return data;
}

AttentionData decode_data(const AttentionShape& x, const Args& args) {
  AttentionData data = common(x, args);
  data.call.q_rows = reference::token_major(data.call.s_q, data.call.h_q, data.call.d_qk);
  data.o_rows = reference::token_major(data.call.s_q, data.call.h_q, data.call.d_v);
  data.lse_token_major = true;
  return data;
}

void refill(const AttentionData& data) {
  fill_random(data.q, data.dtype, data.sigma);
  fill_random(data.k, data.dtype);
  fill_random(data.v, data.dtype);
}

Verdict verify_attention(const AttentionData& data, const std::function<void(cudaStream_t)>& launch,
                         double tolerance, bool refill_inputs) {
  if (refill_inputs) refill(data);
  poison(data.o);
  if (data.lse.bytes() > 0) poison(data.lse);
  launch(nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());

  reference::Attention call = data.call;
  const std::vector<float> q = to_floats(data.q, data.dtype);
  const std::vector<float> k = data.k_values ? data.k_values() : to_floats(data.k, data.dtype);
  const std::vector<float> v = data.v_values ? data.v_values() : to_floats(data.v, data.dtype);
  const std::vector<float> o = to_floats(data.o, data.dtype);
  const std::vector<float> lse =
      data.lse.bytes() > 0 ? to_floats(data.lse, Dtype::fp32) : std::vector<float>{};
  call.q = q, call.k = k, call.v = v;

  const std::vector<Row> rows = rows_to_check(call);
  const auto d = static_cast<std::size_t>(call.d_v);
  std::vector<double> expected(rows.size() * d), expected_lse(rows.size());
  std::vector<float> out(rows.size() * d), out_lse(rows.size());
  reference::parallel_for(static_cast<std::int64_t>(rows.size()), [&](std::int64_t index) {
    const auto i = static_cast<std::size_t>(index);
    const auto [request, token, head] = rows[i];
    reference::AttentionRow row;
    if (data.mask_of) {
      reference::Attention own = call;
      data.mask_of(own, request, head);
      row = reference::attention_row(own, request, token, head);
    } else {
      row = reference::attention_row(call, request, token, head);
    }
    const auto from = static_cast<std::size_t>(data.o_rows.row(request, token, head));
    for (std::size_t c = 0; c < d; ++c) {
      expected[i * d + c] = row.out[c];
      out[i * d + c] = o[from + c];
    }
    expected_lse[i] = row.lse;
    const std::int64_t at = data.lse_rows          ? data.lse_rows->row(request, token, head)
                            : data.lse_token_major ? (request * call.s_q + token) * call.h_q + head
                                                   : (request * call.h_q + head) * call.s_q + token;
    out_lse[i] = lse.empty() ? static_cast<float>(row.lse) : lse[static_cast<std::size_t>(at)];
  });
  const Verdict of_o = compare(expected, out, tolerance);
  if (!of_o.ok) return of_o;
  const Verdict of_lse = compare(expected_lse, out_lse, tolerance);
  return of_lse.ok ? of_o : of_lse;
}

std::string shape_name(const AttentionShape& x) {
  const auto n = [](double v) { return std::to_string(whole(v)); };
  std::string name = "b" + n(x.b) + " h" + n(x.h_q) + "/" + n(x.h_kv) + " s" + n(x.s_q) + "/" +
                     n(x.s_kv) + " d" + n(x.d_qk);
  if (x.causal && x.s_q > 1) name += " causal";
  if (x.window > 0) name += " window" + n(x.window);
  return name;
}

}  // namespace kvroof::kernels
