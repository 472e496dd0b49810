#include "model/lint.hpp"

#include <fmt/format.h>

#include <optional>

#include "model/collective.hpp"
#include "model/lint_rows.hpp"
#include "model/profile.hpp"
#include "model/public_names.hpp"
#include "model/search_path.hpp"
#include "model/user_error.hpp"

namespace kvroof {
namespace {

using namespace lint_rows;

/// Seconds of the row by whichever time column the table has; nullopt without one.
struct TimeColumn {
  std::string_view name;
  double unit;
};
constexpr TimeColumn kTimes[] = {{"time_s", 1},         {"latency_s", 1},     {"measured_s", 1},
                                 {"median_s", 1},       {"seconds", 1},       {"time_ms", milli},
                                 {"latency_ms", milli}, {"latency", milli},   {"time_us", micro},
                                 {"latency_us", micro}, {"median_us", micro}, {"time_ns", nano}};
std::optional<TimeColumn> time_column(const Csv& csv) {
  for (const TimeColumn& t : kTimes)
    if (csv.column({t.name}) >= 0) return t;
  return std::nullopt;
}

enum class Kind {
  gemm,
  prefill,
  decode,
  latent_prefill,
  latent_decode,
  moe,
  collective,
  metric,
  silicon,
  generic
};
constexpr std::string_view kKindNames[] = {
    "GEMM", "prefill attention", "decode attention", "MLA prefill",          "MLA decode",
    "MoE",  "collective",        "metric rows",      "end-to-end TTFT/TPOT", "bytes and FLOPs"};

Kind kind_of(const Csv& csv) {
  const bool attention =
      csv.has({"batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "latency"});
  const auto decode = [&] {
    const int c = csv.column({"op_name"});
    return c >= 0 && !csv.rows.empty() && static_cast<std::size_t>(c) < csv.rows[0].cells.size() &&
           csv.rows[0].cells[static_cast<std::size_t>(c)].find("generation") != std::string::npos;
  };
  if (csv.has({"silicon_tpot_ms", "model_path"})) return Kind::silicon;
  if (csv.has({"metric", "value", "unit"})) return Kind::metric;
  if (csv.has({"m", "n", "k"}) && time_column(csv)) return Kind::gemm;
  if (attention) return decode() ? Kind::decode : Kind::prefill;
  if (csv.has({"mla_dtype", "num_heads", "isl", "latency"}))
    return decode() ? Kind::latent_decode : Kind::latent_prefill;
  if (csv.has({"moe_dtype", "num_tokens", "latency"})) return Kind::moe;
  if (csv.has({"num_gpus", "message_size", "latency"})) return Kind::collective;
  const bool work = csv.column({"bytes", "bytes_read", "hbm_read", "hbm_read_bytes", "flops",
                                "flop", "bytes_written", "hbm_written", "hbm_written_bytes"}) >= 0;
  if (work && time_column(csv)) return Kind::generic;
  std::string columns;
  for (const std::string& h : csv.header) columns += (columns.empty() ? "" : ", ") + h;
  throw UserError(csv.file +
                  ":1:1: expected a table of measurements (m, n, k; attention shapes; num_gpus and "
                  "message_size; "
                  "metric, value, unit; or a time with bytes or flops), got columns " +
                  columns);
}

struct Floor {
  Seconds time;
  std::string_view by;
};

Floor floor_of(const Claimed& c, const Machine& m) {
  const Bytes cached = 4.0 * m.l2_effective;
  const Bytes bytes = c.cold || c.bytes > cached ? c.bytes : max(Bytes{}, c.bytes - m.l2_effective);
  Floor f{bytes / (c.gpus * m.hbm.peak), "HBM"};
  Throughput peak = m.roof(c.math).peak;
  if (peak <= Throughput{}) peak = m.roof(MathType::bf16).peak;  // converted before the product
  peak *= m.boost_clock / m.sm_clock;  // a light load may run at the highest clock
  if (const Seconds t = c.flops / (c.gpus * peak); t > f.time) f = {t, name(c.math)};
  if (!trivial(c.collective) && m.nvlink.bandwidth > Bandwidth{})
    if (const Seconds t = link_floor(c.collective, m.nvlink); t > f.time) f = {t, "link"};
  return f;
}

}  // namespace

LintReport lint(const Csv& csv, const LintOptions& options) {
  const Kind kind = kind_of(csv);
  const auto times = time_column(csv);
  LintReport report;
  report.kind = kKindNames[static_cast<int>(kind)];
  std::map<std::string, std::optional<Machine>> machines;
  const auto machine = [&](const std::string& id) -> const std::optional<Machine>& {
    auto it = machines.find(id);
    if (it != machines.end()) return it->second;
    std::optional<Machine> m;
    try {
      m = to_machine(load_profile(find_profile(id, search_roots())), RoofKind::datasheet);
    } catch (const UserError&) {
      if (id == options.hardware) throw;
    }
    return machines.emplace(id, std::move(m)).first->second;
  };

  for (const CsvRow& cells : csv.rows) {
    ++report.rows;
    Row r(csv, cells);
    if (cells.cells.size() != csv.header.size()) {
      report.findings.push_back(
          {cells.line, true, 0,
           fmt::format("expected {} cells, got {}", csv.header.size(), cells.cells.size())});
      continue;
    }
    Claimed c;
    std::string reason;
    std::optional<Claimed> whole;
    switch (kind) {
      case Kind::gemm:
        c = gemm_row(r);
        break;
      case Kind::prefill:
        c = attention_row(r, false);
        break;
      case Kind::decode:
        c = attention_row(r, true);
        break;
      case Kind::latent_prefill:
        c = latent_row(r, false);
        break;
      case Kind::latent_decode:
        c = latent_row(r, true);
        break;
      case Kind::moe:
        c = moe_row(r);
        break;
      case Kind::collective:
        c = collective_row(r);
        break;
      case Kind::generic:
        c = generic_row(r, csv);
        break;
      case Kind::metric:
        whole = metric_row(r, reason);
        break;
      case Kind::silicon:
        whole = silicon_row(r, reason);
        break;
    }
    const bool end_to_end = kind == Kind::metric || kind == Kind::silicon;
    if (end_to_end && whole) c = *whole;
    if (!end_to_end) c.measured = Seconds{r.number({times->name}) * times->unit};
    if (!r.fault().empty()) {
      report.findings.push_back({cells.line, true, 0, r.fault()});
      continue;
    }
    if (end_to_end && !whole) {
      ++report.unchecked[reason];
      continue;
    }
    const std::string device = r.text({"device", "hardware", "system", "gpu"});
    const std::string id = !options.hardware.empty() ? options.hardware : hardware_id(device);
    if (id.empty() || !machine(id)) {
      ++report.unchecked[device.empty() ? "no GPU named: give --hardware"
                                        : "no profile for '" + device + "'"];
      continue;
    }
    ++report.checked;
    const Floor f = floor_of(c, *machine(id));
    const double ratio = f.time / c.measured;
    if (ratio > 1 + options.tolerance)
      report.findings.push_back(
          {cells.line, false, ratio,
           fmt::format(
               "{}: {:.4g} us, but the {} floor on {} is {:.4g} us ({:.2f}x faster than light)",
               c.what, c.measured.value / micro, f.by, id, f.time.value / micro, ratio)});
  }
  return report;
}

}  // namespace kvroof
