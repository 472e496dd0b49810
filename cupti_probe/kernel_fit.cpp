#include "cupti_probe/kernel_fit.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <stdexcept>

#include "model/csv.hpp"
#include "model/search_path.hpp"
#include "model/time.hpp"
#include "model/user_error.hpp"

namespace kvroof::probe {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

// Scatter of repeated cold launches, and how far a constant may stray from what
// is usual for nothing.
constexpr double kRowSigma = 0.05, kShareSigma = 0.4, kMemorySigma = 0.1, kRampSigma = 0.7;
constexpr double kBlockSigma = 1.4, kOverlapSigma = 2;
// Where cycles are counted, filling and draining among them, the ramp is a launch alone, and that
// is much the same for all kernels.
constexpr double kLaunchSigma = 0.15;
constexpr KernelConstants kUsual{.compute = 0.8,
                                 .overlap = 0.5,
                                 .memory = 0.93,
                                 .ramp = Seconds{3e-6},
                                 .block = Seconds{0.5e-6}};

/// Unbounded parameters <-> constants: logarithms, and the logit of the overlap. A kernel with
/// several pipes has an overlap, and they their measured rates.
KernelConstants constants(const VectorXd& p, bool overlap, const Machine& m) {
  KernelConstants k{.memory = std::min(std::exp(p[1]), m.hbm.achieved / m.hbm.peak),
                    .ramp = Seconds{std::exp(p[2])},
                    .block = Seconds{std::exp(p[3])}};
  if (overlap) k.overlap = 1 / (1 + std::exp(-p[0]));
  else k.compute = std::min(std::exp(p[0]), 1.0);
  return k;
}

double mean_error(std::span<const TimedShape* const> shapes, const Machine& m,
                  const KernelConstants& k) {
  double sum = 0;
  for (const TimedShape* s : shapes)
    if (const auto t = launch_time(s->stages, m, &k)) sum += std::abs(*t / s->measured - 1);
  return shapes.empty() ? 0 : sum / static_cast<double>(shapes.size());
}

}  // namespace

std::optional<Seconds> launch_time(std::span<const Op> stages, const Machine& m,
                                   const KernelConstants* k) {
  Seconds sum;
  try {
    for (const Op& op : stages) {
      if (k) {
        sum += kernel_time(op, m, *k);
      } else {
        const OpTime t = time(op, m, Launch::graph);
        sum += t.expected - t.gap.launch;
      }
    }
  } catch (const std::domain_error&) {
    return std::nullopt;
  }
  return sum;
}

KernelFit fit_kernel(const std::string& kernel, std::span<const TimedShape> shapes,
                     const Machine& machine) {
  std::vector<const TimedShape*> train, test;
  for (std::size_t i = 0; i < shapes.size(); ++i)
    (is_held_out(i) ? test : train).push_back(&shapes[i]);
  if (train.empty()) throw UserError("calibrate: no shapes of " + kernel);
  // Warps that issue mma.sync load its operands from shared memory themselves; wgmma reads them.
  const auto has_pipes = [](const Op& op) {
    return op.work.exps > 0 || (op.execution.mma_sync && op.work.smem > Bytes{});
  };
  const bool overlap = std::any_of(train.begin(), train.end(), [&](const TimedShape* s) {
    return std::any_of(s->stages.begin(), s->stages.end(), has_pipes);
  });
  const bool counted = std::all_of(train.begin(), train.end(), [](const TimedShape* s) {
    return std::all_of(s->stages.begin(), s->stages.end(),
                       [](const Op& op) { return op.execution.sm_cycles > 0; });
  });
  VectorXd prior(4), sigma(4);
  prior << (overlap ? 0.0 : std::log(kUsual.compute)), std::log(kUsual.memory),
      std::log(kUsual.ramp.value), std::log(kUsual.block.value);
  sigma << (overlap ? kOverlapSigma : kShareSigma), kMemorySigma,
      counted ? kLaunchSigma : kRampSigma, kBlockSigma;

  const auto rows = static_cast<Eigen::Index>(train.size());
  const auto residuals = [&](const VectorXd& p) {
    VectorXd r(rows + p.size());
    const KernelConstants k = constants(p, overlap, machine);
    for (Eigen::Index i = 0; i < rows; ++i) {
      const TimedShape& s = *train[static_cast<std::size_t>(i)];
      const auto t = launch_time(s.stages, machine, &k);
      r[i] = t ? std::log(*t / s.measured) / kRowSigma : 0;
    }
    r.tail(p.size()) = (p - prior).cwiseQuotient(sigma);
    return r;
  };

  VectorXd p = prior, r = residuals(p);
  double damping = 1;
  for (int step = 0; step < 200 && damping < 1e9; ++step) {
    constexpr double kStep = 1e-4;
    MatrixXd jacobian(r.size(), p.size());
    for (Eigen::Index c = 0; c < p.size(); ++c) {
      VectorXd moved = p;
      moved[c] += kStep;
      jacobian.col(c) = (residuals(moved) - r) / kStep;
    }
    const MatrixXd normal = jacobian.transpose() * jacobian;
    const VectorXd gradient = jacobian.transpose() * r;
    const MatrixXd damped = normal + damping * MatrixXd::Identity(p.size(), p.size());
    const VectorXd next = p - damped.ldlt().solve(gradient), at_next = residuals(next);
    if (at_next.squaredNorm() < r.squaredNorm()) p = next, r = at_next, damping /= 3;
    else damping *= 4;
  }
  KernelFit fit{.kernel = kernel, .constants = constants(p, overlap, machine)};
  fit.fitted = static_cast<int>(train.size()), fit.judged = static_cast<int>(test.size());
  fit.error_fitted = mean_error(train, machine, fit.constants);
  fit.error_judged = mean_error(test, machine, fit.constants);
  return fit;
}

std::vector<KernelFit> read_fits(const std::string& file) {
  if (file.empty()) return {};
  const Csv csv = read_csv(file);
  if (!csv.has({"kernel", "compute", "memory", "ramp_s", "block_s", "overlap"}))
    throw UserError(file + ": expected the file that kvroof-probe calibrate --write makes");
  std::vector<KernelFit> fits;
  for (const CsvRow& row : csv.rows) {
    const auto number = [&](const char* column) {
      return to_number(row.cells[static_cast<std::size_t>(csv.column({column}))]);
    };
    const auto compute = number("compute"), memory = number("memory"), ramp = number("ramp_s"),
               block = number("block_s");
    if (!compute || !memory || !ramp || !block)
      throw UserError(file + ":" + std::to_string(row.line) + ": expected four numbers");
    fits.push_back({.kernel = row.cells[static_cast<std::size_t>(csv.column({"kernel"}))],
                    .constants = {.compute = *compute,
                                  .overlap = number("overlap"),
                                  .memory = *memory,
                                  .ramp = Seconds{*ramp},
                                  .block = Seconds{*block}}});
  }
  return fits;
}

std::string fits_file(const std::string& asked, const std::string& profile_id) {
  if (!asked.empty()) return asked;
  for (const std::string& root : search_roots()) {
    const auto file = std::filesystem::path(root) / "reports" / profile_id / "kernel_fits.csv";
    if (std::filesystem::exists(file)) return file.string();
  }
  return {};
}

const KernelConstants* find_fit(std::span<const KernelFit> fits, std::string_view kernel) {
  const auto it = std::find_if(fits.begin(), fits.end(),
                               [&](const KernelFit& f) { return f.kernel == kernel; });
  return it == fits.end() ? nullptr : &it->constants;
}

}  // namespace kvroof::probe
