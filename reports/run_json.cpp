#include <nlohmann/json.hpp>
#include <ostream>

#include "reports/run_report.hpp"

namespace kvroof::reports {
namespace {

using Json = nlohmann::ordered_json;

Json step_json(const PhaseResult& p) {
  const StepTime& s = p.step;
  return {{"floor_s", s.floor.value},
          {"expected_s", s.expected.value},
          {"range_s", {s.low().value, s.high().value}},
          {"bound", name(s.bound)},
          {"floor_bound", name(s.floor_bound)},
          {"mfu", p.mfu},
          {"mbu", p.mbu},
          {"flops", p.work.flops.value},
          {"flops_executed", p.work.flops_executed.value},
          {"hbm_read", p.work.hbm_read().value},
          {"hbm_written", p.work.hbm_written().value},
          {"hbm_weights", (p.work.read.weights + p.work.written.weights).value},
          {"hbm_kv", (p.work.read.kv + p.work.written.kv).value},
          {"source", name(s.source)},
          {"gap_s",
           {{"bandwidth", s.gap.bandwidth.value},
            {"compute", s.gap.compute.value},
            {"traffic", s.gap.traffic.value},
            {"padding", s.gap.padding.value},
            {"pipes", s.gap.pipes.value},
            {"ramp", s.gap.ramp.value},
            {"launch", s.gap.launch.value},
            {"link", s.gap.link.value}}}};
}

void add_ops(Json& out, const char* phase, const PhaseResult& p) {
  for (std::size_t i = 0; i < p.ops.size(); ++i) {
    const Op& op = p.ops[i];
    const OpTime& t = p.times[i];
    const Work w = op.count * op.work;
    out.push_back({{"phase", phase},
                   {"name", op.name},
                   {"class", name(op.op_class)},
                   {"count", op.count},
                   {"flops", w.flops.value},
                   {"flops_executed", w.flops_executed.value},
                   {"hbm_read", w.hbm_read().value},
                   {"hbm_written", w.hbm_written().value},
                   {"link_sent", w.link_sent.value},
                   {"intensity", op.work.intensity().value},
                   {"floor_s", t.floor.value},
                   {"link_floor_s", t.link_floor.value},
                   {"expected_s", t.expected.value},
                   {"bound", name(t.bound)}});
  }
}

Json memory_json(const MemoryFit& m) {
  Json j = {{"capacity_bytes", m.capacity.value}, {"usable_bytes", m.usable.value},
            {"weights_bytes", m.weights.value},   {"activations_bytes", m.activations.value},
            {"graphs_bytes", m.graphs.value},     {"context_bytes", m.context.value},
            {"kv_pool_bytes", m.pool.value},      {"kv_bytes_per_request", m.kv_per_request.value}};
  if (!m.fits) j["reason"] = m.reason, j["would_fit"] = m.would_fit;
  return j;
}

void flatten(const Json& j, const std::string& path,
             std::vector<std::pair<std::string, std::string>>& out) {
  if (j.is_object())
    for (const auto& [key, value] : j.items())
      flatten(value, path.empty() ? key : path + "." + key, out);
  else if (j.is_array() && !j.empty() && j.front().is_number())
    for (std::size_t i = 0; i < j.size(); ++i) flatten(j[i], path + "." + std::to_string(i), out);
  else if (!j.is_array()) out.emplace_back(path, j.is_null() ? "" : j.dump());
}

}  // namespace

Json to_json(const RunReport& r) {
  const Prediction& p = r.prediction;
  const MemoryFit& m = p.memory;
  Json results;
  results["fits"] = m.fits;
  results["gpus"] = p.gpus;
  results["kv"] = {{"bytes_per_token", m.kv_per_token.value},
                   {"state_bytes_per_request", m.state_per_request.value},
                   {"pool_tokens", m.pool_tokens.value},
                   {"max_concurrency", m.max_concurrency},
                   {"tokens_per_request", m.tokens_per_request},
                   {"blocks", m.blocks},
                   {"blocks_needed", m.blocks_needed},
                   {"block_size", r.setup.policy.block_size}};
  results["memory"] = memory_json(m);
  if (m.fits) {
    results["decode"] = step_json(p.decode);
    results["prefill"] = step_json(p.prefill);
    results["ttft_s"] = p.ttft.value;
    results["tpot_s"] = p.tpot.value;
    results["tpot_range_s"] = {p.tpot_low.value, p.tpot_high.value};
    results["e2e_s"] = p.e2e.value;
    results["request_per_s"] = p.request_rate;
    results["output_tok_s"] = p.output_rate.value;
    results["output_tok_s_per_gpu"] = p.output_rate.value / p.gpus;
    results["usd_per_million_output_tokens"] = p.usd_per_million_output_tokens;
    if (const double watts = p.gpus * r.setup.machine.power_watts; watts > 0)
      results["output_tok_per_joule_at_power_limit"] = p.output_rate.value / watts;
    results["ops"] = Json::array();
    add_ops(results["ops"], "prefill", p.prefill);
    add_ops(results["ops"], "decode", p.decode);
  } else {
    for (const char* key : {"decode", "prefill", "ttft_s", "tpot_s", "output_tok_s",
                            "output_tok_s_per_gpu", "usd_per_million_output_tokens"})
      results[key] = nullptr;
  }
  Json j;
  j["schema"] = "kvroof/result/v1";
  j["inputs"] = r.inputs ? *r.inputs : Json::object();
  j["results"] = std::move(results);
  j["assumed"] = r.assumed;
  j["warnings"] = r.warnings;
  return j;
}

void print_csv(std::ostream& out, const RunReport& report) {
  std::vector<std::pair<std::string, std::string>> cells{{"name", Json(report.name).dump()}};
  flatten(to_json(report)["results"], "", cells);
  for (std::size_t i = 0; i < cells.size(); ++i) out << (i ? "," : "") << cells[i].first;
  out << '\n';
  for (std::size_t i = 0; i < cells.size(); ++i) out << (i ? "," : "") << cells[i].second;
  out << '\n';
}

}  // namespace kvroof::reports
