#include "model/accuracy/silicon_row.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

namespace kvroof::accuracy {
namespace {

std::string answer_in(const Measurement& m, const Pool& p) {
  return fmt::format("{} x tp{} pp{} dp{}{}", p.workers, p.tp, p.pp, p.dp, p.expert ? " ep" : "") +
         fmt::format(" b{}", m.mode == Mode::disaggregated ? p.batch : 0.0);
}

}  // namespace

int gpus_of_tag(std::string_view id) {
  // The last "_tp" that digits follow.
  for (std::size_t at = id.rfind("_tp"); at != std::string_view::npos && at > 0;
       at = id.rfind("_tp", at - 1)) {
    int n = 0;
    const char* first = id.data() + at + 3;
    const auto [end, error] = std::from_chars(first, id.data() + id.size(), n);
    if (error == std::errc{} && end != first && n > 0 && n < 4096) return n;
  }
  return 0;
}

Layout untangle(Layout c, int tag) {
  const int product = c.tp * c.pp * c.dp;
  int gpus = tag;
  if (gpus == 0) {
    const int root = static_cast<int>(std::lround(std::sqrt(product)));
    const bool square = root > 1 && root * root == product &&
                        ((c.moe_tp == c.moe_ep && c.moe_tp == root) || (c.tp == c.dp));
    gpus = square ? root : product;
  }
  Layout out = c;
  out.expert = c.moe_ep > 1;
  out.dp = c.dp > 1 ? gpus : 1;
  out.tp = c.dp > 1 ? 1 : std::max(1, gpus / c.pp);
  return out;
}

std::string configuration_of(const Measurement& m) {
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", m.hardware, m.engine, m.llm,
                     name(m.weights.value_or(Dtype::bf16)), name(m.mode), answer_in(m, m.pool),
                     m.prefill ? answer_in(m, *m.prefill) : "", m.isl, m.osl, m.concurrency);
}

Answer answer_silicon(Context& context, const Measurement& m) {
  try {
    const auto times = m.mode == Mode::disaggregated ? disaggregated_times(context, m)
                                                     : closed_loop_times(context, m);
    if (const auto* reason = std::get_if<std::string>(&times)) return *reason;
    const ServedTimes& t = std::get<ServedTimes>(times);
    return m.metric == "ttft" ? t.ttft : t.tpot;
  } catch (const std::exception& e) {
    return std::string(e.what());
  }
}

}  // namespace kvroof::accuracy
