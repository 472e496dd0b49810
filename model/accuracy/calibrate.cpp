#include "model/accuracy/calibrate.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>

#include "model/accuracy/silicon_row.hpp"
#include "model/accuracy/tally.hpp"
#include "model/ops.hpp"

namespace kvroof::accuracy {
namespace {

bool has_experts_or_latent_attention(const LlmShape& llm) {
  return std::any_of(llm.layers.begin(), llm.layers.end(), [](const LayerGroup& g) {
    return std::holds_alternative<MoeMlp>(g.mlp) ||
           std::holds_alternative<LatentAttention>(g.attention);
  });
}

}  // namespace

EngineTraits prior_traits(const std::string& engine) {
  const EngineTraits* known = find_engine(engine);
  return known ? *known : *find_engine("vllm");
}

std::vector<Measurement> closed_loop_tpot(const std::vector<std::string>& paths) {
  std::vector<Measurement> out;
  for_each_table(paths, [&](const Csv& csv, const FileFormat& format) {
    for (Read& r : format.read(csv))
      if (auto* m = std::get_if<Measurement>(&r))
        if (m->mode == Mode::closed_loop && m->metric == "tpot" && m->more.count("engines_table"))
          out.push_back(std::move(*m));
  });
  return out;
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
    Sample x{.engine = engine_of(m.engine),
             .model = context.llm_name(m.llm),
             .configuration = m.configuration,
             .sparse = has_experts_or_latent_attention(s.llm),
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
  const std::size_t n = kNumEngineConstants, size = n * (1 + names.size());
  const auto index = [&](const std::string& e) {
    return static_cast<std::size_t>(std::find(names.begin(), names.end(), e) - names.begin());
  };
  Eigen::VectorXd x = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(size));
  const auto of_engine = [&](const Eigen::VectorXd& v, std::size_t e) {
    std::array<double, kNumEngineConstants> out{};
    for (std::size_t i = 0; i < n; ++i)
      out[i] = v[static_cast<Eigen::Index>(i)] + v[static_cast<Eigen::Index>(n * (e + 1) + i)];
    return out;
  };
  // Residuals log(predicted/measured) of the samples of engine e.
  std::vector<std::vector<std::size_t>> of(names.size());
  for (std::size_t i = 0; i < data.size(); ++i) of[index(data[i]->engine)].push_back(i);
  const auto residuals = [&](std::size_t e, const std::array<double, kNumEngineConstants>& factors,
                             std::vector<double>& out) {
    const EngineTraits t = with_constants(prior_traits(names[e]), factors);
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
    const double sd =
        (i < n ? options.prior : options.deviation) * engine_constants()[i % n].looseness;
    precision[static_cast<Eigen::Index>(i)] = 1 / (sd * sd);
  }
  std::vector<double> r(data.size()), moved(data.size());
  Eigen::MatrixXd normal;
  double scale = 0.1;
  // Downwards: a share that is at its limit of 1 has no slope upwards.
  constexpr double kStep = -0.02;
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
    EngineFit f;
    f.engine = name, f.rows = rows, f.residual = scale;
    for (std::size_t i = 0; i < n; ++i) {
      const auto k = static_cast<Eigen::Index>(i);
      f.log_factor[i] = v[k], f.standard_error[i] = std::sqrt(c(k, k));
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
