#include "cupti_probe/power_fit.hpp"

#include <fmt/core.h>

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>

#include "cupti_probe/kernel_fit.hpp"
#include "cupti_probe/record.hpp"
#include "model/csv.hpp"
#include "model/user_error.hpp"

namespace kvroof::probe {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// Constants that the draw is linear in.
struct Linear {
  std::string_view key;
  Measure measure;
  double& (*of)(PowerLaw&);
};
template <MathType kType>
double& tensor(PowerLaw& p) {
  return p.tensor[static_cast<std::size_t>(kType)].value;
}
constexpr Linear kLinear[] = {
    {"idle", Measure::watts, [](PowerLaw& p) -> double& { return p.idle.value; }},
    {"clocked", Measure::watts, [](PowerLaw& p) -> double& { return p.clocked.value; }},
    {"bf16", Measure::energy_per_flop, tensor<MathType::bf16>},
    {"fp16", Measure::energy_per_flop, tensor<MathType::fp16>},
    {"fp8", Measure::energy_per_flop, tensor<MathType::fp8>},
    {"bf16_mma_sync", Measure::energy_per_flop,
     [](PowerLaw& p) -> double& { return p.mma_sync.value; }},
    {"fp32", Measure::energy_per_flop, [](PowerLaw& p) -> double& { return p.fp32.value; }},
    {"hbm_read", Measure::energy_per_byte, [](PowerLaw& p) -> double& { return p.hbm_read.value; }},
    {"hbm_write", Measure::energy_per_byte,
     [](PowerLaw& p) -> double& { return p.hbm_written.value; }},
    {"l2_read", Measure::energy_per_byte, [](PowerLaw& p) -> double& { return p.l2.value; }},
    {"multicast", Measure::energy_per_byte,
     [](PowerLaw& p) -> double& { return p.multicast.value; }},
    {"smem", Measure::energy_per_byte, [](PowerLaw& p) -> double& { return p.smem.value; }},
    {"exponential", Measure::joules, [](PowerLaw& p) -> double& { return p.exp.value; }},
};
constexpr auto kColumns = static_cast<Eigen::Index>(std::size(kLinear));

/// Every constant 1: the draw is a sum over constants, so that adding 1 to one of them adds its
/// column.
PowerLaw ones(double slope) {
  PowerLaw law{.slope = slope};
  for (const Linear& c : kLinear) c.of(law) = 1;
  return law;
}

/// Of a second of all ops of a row.
std::optional<Energy> energy_of_second(const SteadyRow& row, const PowerLaw& law) {
  Energy sum;
  for (std::size_t i = 0; i < row.ops.size(); ++i) {
    const auto e = energy(row.ops[i], law);
    if (!e) return std::nullopt;
    const double launches = Seconds{1} / row.seconds[i];
    sum += {launches * e->logic, launches * e->memory};
  }
  return sum;
}

/// Least squares of relative draw at one slope.
struct Solution {
  VectorXd constants, errors;
  double squares = 0;
};
Solution solve(std::span<const SteadyRow> rows, const std::vector<bool>& fitted, double slope,
               Clock fastest) {
  const auto n = static_cast<Eigen::Index>(std::count(fitted.begin(), fitted.end(), true));
  MatrixXd a(n, kColumns);
  Eigen::Index r = 0;
  const PowerLaw base = ones(slope);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!fitted[i]) continue;
    const double all = predicted_draw(rows[i], base, fastest)->value;
    for (Eigen::Index c = 0; c < kColumns; ++c) {
      PowerLaw more = base;
      kLinear[c].of(more) += 1;
      a(r, c) = (predicted_draw(rows[i], more, fastest)->value - all) / rows[i].watts.value;
    }
    ++r;
  }
  // Joules a byte and watts differ by 1e13: columns of length one.
  const VectorXd scale = a.colwise().norm();
  for (Eigen::Index c = 0; c < kColumns; ++c)
    if (!(scale[c] > 0))
      throw UserError(
          fmt::format("power: no row shows '{}'; name kernels that use it", kLinear[c].key));
  const MatrixXd scaled = a * scale.cwiseInverse().asDiagonal();
  const VectorXd x = scaled.colPivHouseholderQr().solve(VectorXd::Ones(n));
  Solution s{.constants = x.cwiseQuotient(scale), .errors = {}};
  s.squares = (scaled * x - VectorXd::Ones(n)).squaredNorm();
  const double variance = s.squares / std::max<double>(1, static_cast<double>(n - kColumns - 1));
  const MatrixXd covariance = (scaled.transpose() * scaled).inverse() * variance;
  s.errors = covariance.diagonal().cwiseMax(0).cwiseSqrt().cwiseQuotient(scale);
  return s;
}

double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

/// Slowed down by the limit, rather than by itself.
bool is_limited(const SteadyRow& row, Clock fastest, Watts limit) {
  return row.set_clock < 0.985 * fastest && row.watts > 0.9 * limit;
}

bool on_tensor_cores(std::span<const Op> ops) {
  return std::any_of(ops.begin(), ops.end(),
                     [](const Op& op) { return op.work.flops_executed > Flops{}; });
}

struct Mean {
  double sum = 0;
  int n = 0;
  void add(double x) { sum += x, ++n; }
  double value() const { return n > 0 ? sum / n : 0; }
};

}  // namespace

std::vector<std::string> power_columns() {
  return {"part",    "name",      "args", "watts", "set_clock_hz", "sm_clock_hz", "rested_clock_hz",
          "seconds", "settled_s", "work"};
}

std::vector<std::vector<std::string>> power_cells(const SteadyRow& row) {
  std::vector<std::vector<std::string>> out;
  const auto hz = [](const std::optional<Clock>& c) { return c ? csv_number(c->value) : ""; };
  for (std::size_t i = 0; i < std::max<std::size_t>(1, row.ops.size()); ++i) {
    const bool work = i < row.ops.size();
    out.push_back({std::string(name(row.part)), row.name, row.args, csv_number(row.watts.value),
                   csv_number(row.set_clock.value), hz(row.clock), hz(row.rested),
                   work ? csv_number(row.seconds[i].value) : "", csv_number(row.settled.value),
                   work ? op_text(row.ops[i]) : ""});
  }
  return out;
}

std::vector<SteadyRow> read_power_record(const std::string& file) {
  const Csv csv = read_csv(file);
  for (const std::string& column : power_columns())
    if (!csv.has({column.c_str()}))
      throw UserError(file + ": expected a record of kvroof-probe power");
  std::vector<SteadyRow> rows;
  for (const CsvRow& line : csv.rows) {
    const auto cell = [&](const char* column) -> const std::string& {
      return line.cells[static_cast<std::size_t>(csv.column({column}))];
    };
    const auto clock = [&](const char* column) {
      const auto hz = to_number(cell(column));
      return hz ? std::optional(Clock{*hz}) : std::nullopt;
    };
    const std::string& part = cell("part");
    if (rows.empty() || rows.back().name != cell("name") || rows.back().args != cell("args"))
      rows.push_back({.part = part == "kernel"  ? SteadyPart::kernel
                              : part == "aside" ? SteadyPart::aside
                                                : SteadyPart::load,
                      .name = cell("name"),
                      .args = cell("args"),
                      .watts = Watts{to_number(cell("watts")).value_or(0)},
                      .set_clock = clock("set_clock_hz").value_or(Clock{}),
                      .clock = clock("sm_clock_hz"),
                      .rested = clock("rested_clock_hz"),
                      .settled = Seconds{to_number(cell("settled_s")).value_or(0)}});
    if (cell("work").empty()) continue;
    rows.back().ops.push_back(read_op(cell("work")));
    rows.back().seconds.push_back(Seconds{to_number(cell("seconds")).value_or(0)});
  }
  std::erase_if(rows, [](const SteadyRow& r) {
    return r.watts <= Watts{} || r.set_clock <= Clock{} ||
           std::any_of(r.seconds.begin(), r.seconds.end(),
                       [](Seconds s) { return s <= Seconds{}; });
  });
  return rows;
}

std::vector<bool> makes_fit(std::span<const SteadyRow> rows) {
  std::vector<bool> fitted;
  std::size_t kernels = 0;
  for (const SteadyRow& row : rows)
    fitted.push_back(row.part == SteadyPart::load ||
                     (row.part == SteadyPart::kernel && !is_held_out(kernels++)));
  return fitted;
}

std::optional<Watts> predicted_draw(const SteadyRow& row, const PowerLaw& law, Clock fastest) {
  const auto e = energy_of_second(row, law);
  if (!e) return std::nullopt;
  return draw(*e, Seconds{1}, law, row.set_clock / fastest);
}

std::optional<Clock> predicted_clock(const SteadyRow& row, const PowerLaw& law, Clock fastest) {
  const auto e = energy_of_second(row, law);
  if (!e) return std::nullopt;
  // What the limit slowed down runs on the SMs' clock: a second of it at any other pace.
  const double measured = row.set_clock / fastest;
  const auto seconds_at = [&](double pace) { return Seconds{measured / pace}; };
  return steady_pace(*e, seconds_at, law) * fastest;
}

PowerFit fit_power(std::span<const SteadyRow> rows, Clock fastest, Watts limit) {
  const std::vector<bool> fitted = makes_fit(rows);
  PowerFit fit;
  std::vector<double> held, shares;
  for (const SteadyRow& row : rows) {
    if (is_limited(row, fastest, limit)) held.push_back(row.watts.value);
    if (row.part == SteadyPart::load && row.clock && on_tensor_cores(row.ops))
      shares.push_back(*row.clock / row.set_clock);
  }
  if (held.empty()) throw UserError("power: no load reached the limit");
  fit.tensor_share = median(shares);

  constexpr double kStep = 0.005, kMost = 1.5;
  double slope = 0;
  Solution best = solve(rows, fitted, 0, fastest);
  for (double s = kStep; s <= kMost; s += kStep)
    if (Solution at = solve(rows, fitted, s, fastest); at.squares < best.squares)
      best = std::move(at), slope = s;

  fit.law.held = Watts{median(held)};
  fit.law.slope = slope;
  std::sort(held.begin(), held.end());
  fit.constants.push_back(
      {"held", Measure::watts, false, fit.law.held.value, 0,
       fmt::format("median of {} runs at the limit of {:.0f} W, {:.0f} to {:.0f} W", held.size(),
                   limit.value, held.front(), held.back())});
  for (Eigen::Index c = 0; c < kColumns; ++c) {
    kLinear[c].of(fit.law) = best.constants[c];
    fit.constants.push_back({std::string(kLinear[c].key), kLinear[c].measure, false,
                             best.constants[c], best.errors[c], "least squares"});
  }
  fit.constants.push_back({"voltage_slope", Measure::watts, true, slope, 0, "least squares"});

  Mean made, judged, clocks;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].part == SteadyPart::aside) continue;
    const auto watts = predicted_draw(rows[i], fit.law, fastest);
    const auto clock = predicted_clock(rows[i], fit.law, fastest);
    if (!watts || !clock) continue;
    (fitted[i] ? made : judged).add(std::abs(*watts / rows[i].watts - 1));
    if (!fitted[i]) clocks.add(std::abs(*clock / rows[i].set_clock - 1));
  }
  fit.fitted = made.n, fit.judged = judged.n;
  fit.draw_error_fitted = made.value(), fit.draw_error_judged = judged.value();
  fit.clock_error_judged = clocks.value();
  return fit;
}

void fit_one_shot(PowerFit& fit, std::span<const TimedShape> shapes, Clock fastest) {
  struct Point {
    double watts, lost;  // at full voltage; share of the clock
    bool held_out;
  };
  std::vector<Point> points;
  for (const TimedShape& s : shapes) {
    constexpr Seconds kLong{3e-4};  // shorter ones are counted with their start
    const auto e = energy(s.stages, fit.law);
    if (!e || s.measured < kLong || s.sm_clock <= Clock{} || !on_tensor_cores(s.stages) ||
        s.kernel.ends_with("_step"))  // hundreds of kernels
      continue;
    points.push_back({draw(*e, s.measured, fit.law, 1).value,
                      1 - s.sm_clock / (fit.tensor_share * fastest), is_held_out(points.size())});
  }
  if (points.size() < 8) return;
  double best = 0, knee = 0, rate = 0;
  for (double k = 300; k <= 1500; k += 5) {
    double xx = 0, xy = 0, squares = 0;
    for (const Point& p : points)
      if (const double x = std::max(0.0, p.watts - k); !p.held_out) xx += x * x, xy += x * p.lost;
    const double r = xx > 0 ? xy / xx : 0;
    for (const Point& p : points)
      if (!p.held_out) squares += std::pow(p.lost - r * std::max(0.0, p.watts - k), 2);
    if (knee == 0 || squares < best) best = squares, knee = k, rate = r;
  }
  if (rate <= 0) return;
  fit.law.knee = Watts{knee}, fit.law.droop = Watts{1 / rate};
  Mean made, judged;
  for (const Point& p : points)
    (p.held_out ? judged : made)
        .add(std::abs((1 - rate * std::max(0.0, p.watts - knee)) / (1 - p.lost) - 1));
  fit.clocks_fitted = made.n, fit.clocks_judged = judged.n;
  fit.one_shot_error_fitted = made.value(), fit.one_shot_error_judged = judged.value();
  const std::string source = fmt::format(
      "counted clocks of {} rested launches, judged on {} others: {:.1f} % off in the mean", made.n,
      judged.n, 100 * judged.value());
  fit.constants.push_back({"knee", Measure::watts, false, knee, 0, source});
  fit.constants.push_back({"droop", Measure::watts, false, 1 / rate, 0, source});
}

}  // namespace kvroof::probe
