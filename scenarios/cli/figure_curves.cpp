// The figures that walk over batch, context or parallelism.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/memory_fit.hpp"
#include "model/serving/disaggregation.hpp"
#include "reports/text.hpp"
#include "scenarios/cli/figure_data.hpp"
#include "scenarios/cli/sweep_points.hpp"

namespace kvroof::cli {

using reports::count;
using reports::number;
using reports::text;

namespace {

/// 1K, 2K, 4K … up to the LLM's limit, 128K where it has none.
std::vector<double> contexts(const LlmShape& llm) {
  const double most = llm.max_positions > 0 ? llm.max_positions : 131072;
  std::vector<double> out;
  for (double n = 1024; n <= most; n *= 2) out.push_back(n);
  if (out.empty()) out.push_back(most);
  return out;
}

reports::KvContext::Curve kv_curve(const std::string& name, const Setup& s, double requests) {
  reports::KvContext::Curve c{name, {}};
  for (const double n : contexts(s.llm))
    c.at.push_back({Tokens{n}, requests * kv_bytes_per_gpu(s.llm, s.policy, n)});
  return c;
}

bool same_cache(const Setup& a, const Setup& b) {
  return a.llm.id == b.llm.id && a.policy.kv_dtype() == b.policy.kv_dtype() &&
         a.policy.parallel == b.policy.parallel && a.point.batch == b.point.batch;
}

std::string requests_text(double n) { return count(n) + (n == 1 ? " request" : " requests"); }

reports::Details operating_details(const Setup& s, const Prediction& p) {
  return {{{"batch", count(s.point.batch)},
           {"GPUs", count(p.gpus)},
           {"TPOT", text(p.tpot)},
           {"output tok/s", number(p.output_rate.value)},
           {"$ per million output tokens", number(p.usd_per_million_output_tokens)}},
          ""};
}

}  // namespace

reports::KvContext kv_context(std::span<const Subject> subjects) {
  reports::KvContext f;
  f.caption = caption(subjects, "KV cache against context",
                      "per GPU; across: what each deployment leaves for the cache");
  const Setup& first = subjects.front().setup;
  const bool one_cache = std::all_of(subjects.begin(), subjects.end(),
                                     [&](const Subject& s) { return same_cache(s.setup, first); });
  if (one_cache) {
    const std::string format{name(first.policy.kv_dtype())};
    const double replicas = first.policy.parallel.data, own = first.point.batch / replicas;
    if (own > 1) f.curves.push_back(kv_curve("1 request, " + format, first, 1));
    f.curves.push_back(kv_curve(requests_text(own) + ", " + format, first, own));
    f.curves.push_back(kv_curve(requests_text(4 * own) + ", " + format, first, 4 * own));
    if (info(first.policy.kv_dtype()).bits > 8) {
      Setup narrow = first;
      narrow.policy.kv = Dtype::fp8;
      f.curves.push_back(kv_curve(requests_text(own) + ", fp8", narrow, own));
    }
  } else {
    for (const Subject& s : subjects) {
      const double own = s.setup.point.batch / s.setup.policy.parallel.data;
      f.curves.push_back(kv_curve(s.name + ", " + requests_text(own), s.setup, own));
    }
  }
  for (const Subject& s : subjects) {
    const Bytes pool = s.prediction.memory.pool;
    const bool drawn = std::any_of(f.capacities.begin(), f.capacities.end(),
                                   [&](const auto& c) { return c.kv == pool; });
    if (pool > Bytes{} && !drawn)
      f.capacities.push_back({one_cache ? s.setup.machine.id : s.name, pool});
  }
  return f;
}

reports::Pareto pareto(std::span<const Subject> subjects) {
  reports::Pareto f;
  f.caption = caption(subjects, "Throughput against speed for a user",
                      "tensor parallelism 1 … 8, batch 1 … max_num_seqs, as far as memory allows");
  for (const Subject& s : subjects) {
    reports::Pareto::Series series{s.name, {}};
    for (int tensor = 1; tensor <= 8; tensor *= 2) {
      const Setup cut = with_tensor_parallel(s.setup, tensor);
      const int most = cut.policy.max_num_seqs * cut.policy.parallel.data;
      for (int batch = 1; batch <= most; batch *= 2) {
        const Setup at = with_batch(cut, batch);
        const std::optional<Prediction> p = predict_if_fits(at);
        if (!p) break;
        series.at.push_back({Tokens{1} / p->tpot, p->output_rate / p->gpus,
                             fmt::format("TP{} b{}", tensor, batch), operating_details(at, *p)});
      }
    }
    if (!series.at.empty()) f.series.push_back(series);
  }
  return f;
}

reports::LoadCurve load(std::span<const Subject> subjects) {
  reports::LoadCurve f;
  const bool lock_step = subjects.front().setup.point.lock_step;
  f.caption = caption(subjects, "Latency against load",
                      lock_step ? "TTFT: prefill of the whole batch at once"
                                : "closed loop; TTFT with the mean wait for the prefills of others "
                                  "(M/D/1)");
  f.load_title = "requests in flight";
  f.middle = "mean";
  for (const Subject& s : subjects) {
    reports::LoadCurve::Series series{s.name, {}};
    const double most = most_requests(s.setup);
    std::vector<double> loads;
    for (double n = 1; n < most; n *= 2) loads.push_back(n);
    if (most >= 1) loads.push_back(most);
    for (const double n : loads) {
      const Setup at = with_batch(s.setup, n);
      const std::optional<Prediction> p = predict_if_fits(at);
      if (!p) break;
      const Seconds host = p->ttft - p->ttft_step.expected;
      const Seconds ttft =
          s.setup.point.lock_step
              ? p->prefill.step.expected + host
              : serving::prefill_ttft(p->request_rate / s.setup.policy.parallel.data, p->ttft);
      series.at.push_back({n, ttft, {}, p->tpot, {}, operating_details(at, *p)});
    }
    if (!series.at.empty()) f.series.push_back(series);
    if (s.ttft_slo > Seconds{}) f.ttft_slo = s.ttft_slo;
    if (s.tpot_slo > Seconds{}) f.tpot_slo = s.tpot_slo;
  }
  return f;
}

reports::CostContext cost(std::span<const Subject> subjects) {
  reports::CostContext f;
  f.caption =
      caption(subjects, "Cost against context",
              "dollars per million output tokens; batch as large as memory and the engine's "
              "limit allow");
  for (const Subject& s : subjects) {
    const std::string price = fmt::format("${:.2f} per GPU-hour", s.setup.machine.gpu_hour_usd);
    const bool alone = subjects.size() == 1;
    if (alone) f.caption.subtitle += "; " + price;
    reports::CostContext::Series full{alone ? "all that fit" : s.name + ", " + price, {}};
    reports::CostContext::Series own{requests_text(s.setup.point.batch), {}};
    for (const double n : contexts(s.setup.llm)) {
      const Setup at = with_context(s.setup, n);
      const double most = most_requests(at);
      if (most < 1) break;
      const auto add = [&](reports::CostContext::Series& to, double batch) {
        const Setup loaded = with_batch(at, batch);
        if (const std::optional<Prediction> p = predict_if_fits(loaded))
          to.at.push_back(
              {Tokens{n}, p->usd_per_million_output_tokens, operating_details(loaded, *p)});
      };
      add(full, most);
      if (alone && s.setup.point.batch <= most) add(own, s.setup.point.batch);
    }
    if (!full.at.empty()) f.series.push_back(full);
    if (!own.at.empty()) f.series.push_back(own);
  }
  return f;
}

}  // namespace kvroof::cli
