#include "model/accuracy/calibrate.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>

#include "model/accuracy/silicon_row.hpp"
#include "model/ops.hpp"

namespace kvroof::accuracy {
namespace {

constexpr std::array<std::string_view, 19> kNames{"step_base",
                                                  "step_per_request",
                                                  "gemm.memory",
                                                  "gemm.compute",
                                                  "gemm.ramp",
                                                  "moe_gemm.memory",
                                                  "moe_gemm.compute",
                                                  "moe_gemm.ramp",
                                                  "decode_attention.memory",
                                                  "decode_attention.compute",
                                                  "decode_attention.ramp",
                                                  "prefill_attention.compute",
                                                  "elementwise.ramp",
                                                  "collective.memory",
                                                  "collective.ramp",
                                                  "fp8.compute",
                                                  "fp8.memory",
                                                  "fp4.compute",
                                                  "fp4.memory"};
constexpr std::size_t kNumConstants = kNames.size();

/// How far a constant may be from its default before it costs: host times were guessed, kernels
/// come from tables.
double looseness(std::size_t i) { return i < 2 ? 3 : 1; }

KernelFactors& kernel(EngineTraits& t, OpClass c) { return t.kernels[static_cast<std::size_t>(c)]; }

}  // namespace

std::span<const std::string_view> constant_names() { return kNames; }

EngineTraits with_factors(EngineTraits t, std::span<const double> x) {
  const auto f = [&](std::size_t i) { return std::exp(x[i]); };
  t.step_base *= f(0), t.step_per_request *= f(1);
  KernelFactors& gemm = kernel(t, OpClass::gemm);
  gemm.memory *= f(2), gemm.compute *= f(3), gemm.ramp *= f(4);
  KernelFactors& moe = kernel(t, OpClass::moe_gemm);
  moe.memory *= f(5), moe.compute *= f(6), moe.ramp *= f(7);
  KernelFactors& decode = kernel(t, OpClass::decode_attention);
  decode.memory *= f(8), decode.compute *= f(9), decode.ramp *= f(10);
  kernel(t, OpClass::prefill_attention).compute *= f(11);
  kernel(t, OpClass::elementwise).ramp *= f(12);
  KernelFactors& link = kernel(t, OpClass::collective);
  link.memory *= f(13), link.ramp *= f(14);
  FormatFit& fp8 = t.formats[static_cast<std::size_t>(MathType::fp8)];
  fp8.compute *= f(15), fp8.memory *= f(16);
  FormatFit& fp4 = t.formats[static_cast<std::size_t>(MathType::fp4)];
  fp4.compute *= f(17), fp4.memory *= f(18);
  return t;
}

double predicted(const Sample& s, const EngineTraits& t, const Machine& m) {
  double sum = 0;
  for (const Sample::Share& share : s.shares) {
    Seconds step = t.step_base + share.requests * t.step_per_request;
    for (const Op& op : share.ops)
      step += time(op, m, s.cuda_graphs ? Launch::graph : Launch::stream).expected;
    sum += share.weight * step.value;
  }
  return sum;
}

std::vector<Sample> samples(Context& context, std::span<const Measurement> rows) {
  std::vector<Sample> out;
  std::map<std::string, double> repeats;
  for (const Measurement& m : rows) ++repeats[m.configuration];
  for (const Measurement& m : rows) {
    auto setup = context.setup(m);
    if (!std::holds_alternative<Setup>(setup)) continue;
    Setup& s = std::get<Setup>(setup);
    s.point = {.batch = m.concurrency, .prompt = m.isl, .output = m.osl};
    const Lowering l = lower(s.llm, s.policy, s.machine);
    Sample x{.engine = std::string(s.engine.name),
             .group = context.hardware_name(m.hardware) + "|" + std::string(s.engine.name) + "|" +
                      context.llm_name(m.llm),
             .configuration = m.configuration,
             .row = &m,
             .machine = s.machine,
             .measured = m.value,
             .weight = 1 / repeats[m.configuration]};
    for (auto& share : closed_loop_steps(s, m))
      x.shares.push_back({ops(l, s.policy, share.load), share.per_token, share.requests});
    out.push_back(std::move(x));
  }
  return out;
}

std::map<std::string, EngineFit> fit(const std::vector<const Sample*>& data,
                                     const FitOptions& options) {
  std::vector<std::string> names;
  for (const Sample* s : data)
    if (std::find(names.begin(), names.end(), s->engine) == names.end()) names.push_back(s->engine);
  std::sort(names.begin(), names.end());
  const std::size_t n = kNumConstants, size = n * (1 + names.size());
  const auto index = [&](const std::string& e) {
    return static_cast<std::size_t>(std::find(names.begin(), names.end(), e) - names.begin());
  };
  Eigen::VectorXd x = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(size));
  const auto of_engine = [&](const Eigen::VectorXd& v, std::size_t e) {
    std::array<double, kNumConstants> out{};
    for (std::size_t i = 0; i < n; ++i)
      out[i] = v[static_cast<Eigen::Index>(i)] + v[static_cast<Eigen::Index>(n * (e + 1) + i)];
    return out;
  };
  // Residuals log(predicted/measured) of the samples of engine e.
  std::vector<std::vector<std::size_t>> of(names.size());
  for (std::size_t i = 0; i < data.size(); ++i) of[index(data[i]->engine)].push_back(i);
  const auto residuals = [&](std::size_t e, const std::array<double, kNumConstants>& factors,
                             std::vector<double>& out) {
    const EngineTraits t = with_factors(*find_engine(names[e]), factors);
    std::map<std::string, Machine> machines;
    for (std::size_t i : of[e]) {
      const Sample& s = *data[i];
      auto it = machines.find(s.machine.id);
      if (it == machines.end())
        it = machines.emplace(s.machine.id, with_kernels_of(t, s.machine)).first;
      out[i] = std::log(predicted(s, t, it->second) / s.measured);
    }
  };

  Eigen::VectorXd precision(static_cast<Eigen::Index>(size));
  for (std::size_t i = 0; i < size; ++i) {
    const double sd = (i < n ? options.prior : options.deviation) * looseness(i % n);
    precision[static_cast<Eigen::Index>(i)] = 1 / (sd * sd);
  }
  std::vector<double> r(data.size()), moved(data.size());
  Eigen::MatrixXd normal;
  double scale = 0.1;
  constexpr double kStep = 0.02;
  for (int iteration = 0; iteration < options.iterations; ++iteration) {
    normal = Eigen::MatrixXd::Zero(x.size(), x.size());
    Eigen::VectorXd gradient = Eigen::VectorXd::Zero(x.size());
    for (std::size_t e = 0; e < names.size(); ++e) {
      auto factors = of_engine(x, e);
      residuals(e, factors, r);
      Eigen::MatrixXd jacobian(static_cast<Eigen::Index>(of[e].size()),
                               static_cast<Eigen::Index>(n));
      for (std::size_t i = 0; i < n; ++i) {
        const double kept = factors[i];
        factors[i] += kStep;
        residuals(e, factors, moved);
        factors[i] = kept;
        for (std::size_t k = 0; k < of[e].size(); ++k)
          jacobian(static_cast<Eigen::Index>(k), static_cast<Eigen::Index>(i)) =
              (moved[of[e][k]] - r[of[e][k]]) / kStep;
      }
      Eigen::VectorXd w(static_cast<Eigen::Index>(of[e].size())), y(w.size());
      for (std::size_t k = 0; k < of[e].size(); ++k) {
        const double v = r[of[e][k]];
        // Student's t with 4 degrees of freedom: what no constant explains does not pull them.
        w[static_cast<Eigen::Index>(k)] =
            data[of[e][k]]->weight * 5 / (4 + (v / scale) * (v / scale)) / (scale * scale);
        y[static_cast<Eigen::Index>(k)] = v;
      }
      const Eigen::MatrixXd weighted = w.asDiagonal() * jacobian;
      const Eigen::MatrixXd block = jacobian.transpose() * weighted;
      const Eigen::VectorXd g = weighted.transpose() * y;
      const auto at = static_cast<Eigen::Index>(n * (e + 1)), m = static_cast<Eigen::Index>(n);
      normal.block(0, 0, m, m) += block;
      normal.block(0, at, m, m) += block;
      normal.block(at, 0, m, m) += block;
      normal.block(at, at, m, m) += block;
      gradient.segment(0, m) += g;
      gradient.segment(at, m) += g;
    }
    normal.diagonal() += precision;
    gradient += precision.cwiseProduct(x);
    Eigen::VectorXd step = normal.ldlt().solve(gradient);
    const double longest = step.cwiseAbs().maxCoeff();
    if (longest > 0.5) step *= 0.5 / longest;
    x -= step;
    std::vector<double> size_of;
    for (double v : r) size_of.push_back(std::abs(v));
    std::nth_element(size_of.begin(),
                     size_of.begin() + static_cast<std::ptrdiff_t>(size_of.size() / 2),
                     size_of.end());
    scale = std::max(0.03, 1.4826 * size_of[size_of.size() / 2]);
    if (longest < 1e-3) break;
  }
  const Eigen::MatrixXd covariance =
      normal.ldlt().solve(Eigen::MatrixXd::Identity(x.size(), x.size()));
  std::map<std::string, EngineFit> out;
  const auto make = [&](const std::string& name, const Eigen::MatrixXd& pick, int rows) {
    const Eigen::VectorXd v = pick * x;
    const Eigen::MatrixXd c = pick * covariance * pick.transpose();
    EngineFit f{.engine = name, .rows = rows, .residual = scale};
    for (std::size_t i = 0; i < n; ++i) {
      const auto k = static_cast<Eigen::Index>(i);
      f.constants.push_back({std::string(kNames[i]), v[k], std::sqrt(c(k, k))});
      f.covariance.emplace_back();
      for (std::size_t j = 0; j < n; ++j)
        f.covariance.back().push_back(c(k, static_cast<Eigen::Index>(j)));
    }
    out[name] = std::move(f);
  };
  const auto m = static_cast<Eigen::Index>(n);
  Eigen::MatrixXd shared = Eigen::MatrixXd::Zero(m, x.size());
  shared.block(0, 0, m, m).setIdentity();
  make("generic", shared, static_cast<int>(data.size()));
  for (std::size_t e = 0; e < names.size(); ++e) {
    Eigen::MatrixXd own = shared;
    own.block(0, static_cast<Eigen::Index>(n * (e + 1)), m, m).setIdentity();
    make(names[e], own, static_cast<int>(of[e].size()));
  }
  return out;
}

}  // namespace kvroof::accuracy
