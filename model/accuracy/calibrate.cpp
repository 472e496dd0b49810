#include "model/accuracy/calibrate.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>

#include "model/accuracy/service_times.hpp"
#include "model/accuracy/tally.hpp"
#include "model/ops.hpp"

namespace kvroof::accuracy {
namespace {

bool has_experts_or_latent_attention(const LlmShape& llm) {
  return std::any_of(llm.layers.begin(), llm.layers.end(), [](const LayerGroup& g) {
    return std::holds_alternative<MoeMlp>(g.mlp) ||
           !std::holds_alternative<GroupedAttention>(g.attention);
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
    if (capped(s, m) || beyond_light(s, m)) continue;
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

namespace {

using Index = Eigen::Index;
constexpr auto kN = static_cast<Index>(kNumEngineConstants);

/// Where the log factors of one engine on one generation stand in the vector of unknowns.
struct Place {
  std::string engine, name;  // "trtllm", "trtllm-hopper"
  Index of_engine = 0, own = 0;
  std::vector<std::size_t> samples;
};

/// Shared block, one block per engine, one per engine and generation.
struct Layout {
  std::vector<std::pair<std::string, Index>> engines;
  std::vector<Place> places;
  Index size = kN;
};

Layout layout_of(const std::vector<const Sample*>& data) {
  std::map<std::string, Index> engines;
  std::map<std::string, Place> places;
  for (std::size_t i = 0; i < data.size(); ++i) {
    engines[data[i]->engine];
    Place& p = places[data[i]->kernels()];
    p.engine = data[i]->engine, p.name = data[i]->kernels();
    p.samples.push_back(i);
  }
  Layout l;
  for (auto& [name, at] : engines) {
    at = l.size, l.size += kN;
    l.engines.emplace_back(name, at);
  }
  for (auto& [name, p] : places) {
    p.of_engine = engines.at(p.engine), p.own = l.size, l.size += kN;
    l.places.push_back(std::move(p));
  }
  return l;
}

using Factors = std::array<double, kNumEngineConstants>;

Factors factors_at(const Eigen::VectorXd& x, const Place& p) {
  Factors out{};
  for (Index i = 0; i < kN; ++i)
    out[static_cast<std::size_t>(i)] = x[i] + x[p.of_engine + i] + x[p.own + i];
  return out;
}

/// log(predicted/measured) of the samples of one place.
void residuals(const std::vector<const Sample*>& data, const Place& p, const Factors& factors,
               Eigen::VectorXd& out) {
  const EngineTraits t = with_constants(prior_traits(p.engine), factors);
  std::map<std::string, Machine> machines;
  for (std::size_t k = 0; k < p.samples.size(); ++k) {
    const Sample& s = *data[p.samples[k]];
    auto it = machines.find(s.machine.id);
    if (it == machines.end())
      it = machines.emplace(s.machine.id, with_kernels_of(t, s.machine)).first;
    out[static_cast<Index>(k)] = std::log(predicted(s, t, it->second) / s.measured);
  }
}

/// The robust misfit that the weights below minimise: Student's t with 4 degrees of freedom, and
/// the priors.
double misfit(const std::vector<const Sample*>& data, const Layout& layout,
              const Eigen::VectorXd& x, const Eigen::VectorXd& precision, double scale) {
  double sum = 0.5 * precision.dot(x.cwiseProduct(x));
  for (const Place& p : layout.places) {
    Eigen::VectorXd r(static_cast<Index>(p.samples.size()));
    residuals(data, p, factors_at(x, p), r);
    for (Index k = 0; k < r.size(); ++k) {
      const double z = r[k] / scale;
      sum += data[p.samples[static_cast<std::size_t>(k)]]->weight * 2.5 * std::log1p(z * z / 4);
    }
  }
  return sum;
}

/// A known fit as unknowns: shared, each engine's deviation, each generation's.
void start_from(const std::map<std::string, EngineFit>& known, const Layout& layout,
                Eigen::VectorXd& x) {
  const auto put = [&](Index at, const std::string& name, const std::string& parent) {
    const auto own = known.find(name), base = known.find(parent);
    if (own == known.end()) return;
    for (Index i = 0; i < kN; ++i) {
      const auto k = static_cast<std::size_t>(i);
      x[at + i] =
          own->second.log_factor[k] - (base == known.end() ? 0 : base->second.log_factor[k]);
    }
  };
  put(0, "generic", "");
  for (const auto& [name, at] : layout.engines) put(at, name, "generic");
  for (const Place& p : layout.places) put(p.own, p.name, p.engine);
}

double median_size(std::vector<double> r) {
  for (double& v : r) v = std::abs(v);
  const auto middle = r.begin() + static_cast<std::ptrdiff_t>(r.size() / 2);
  std::nth_element(r.begin(), middle, r.end());
  return *middle;
}

}  // namespace

std::map<std::string, EngineFit> fit(const std::vector<const Sample*>& data,
                                     const FitOptions& options) {
  const Layout layout = layout_of(data);
  Eigen::VectorXd x = Eigen::VectorXd::Zero(layout.size), precision(layout.size);
  for (Index i = 0; i < layout.size; ++i) {
    const Index block = i / kN;
    const double sd = block == 0                                           ? options.prior
                      : block <= static_cast<Index>(layout.engines.size()) ? options.deviation
                                                                           : options.generation;
    const double loose = engine_constants()[static_cast<std::size_t>(i % kN)].looseness;
    precision[i] = 1 / (sd * sd * loose * loose);
  }
  if (options.start) start_from(*options.start, layout, x);
  Eigen::MatrixXd normal;
  double scale = 0.1;
  // Downwards: a share that is at its limit of 1 has no slope upwards.
  constexpr double kStep = -0.02;
  for (int iteration = 0; iteration < options.iterations; ++iteration) {
    normal = Eigen::MatrixXd::Zero(layout.size, layout.size);
    Eigen::VectorXd gradient = Eigen::VectorXd::Zero(layout.size);
    std::vector<double> all;
    for (const Place& p : layout.places) {
      const auto rows = static_cast<Index>(p.samples.size());
      Factors factors = factors_at(x, p);
      Eigen::VectorXd r(rows), moved(rows), w(rows);
      residuals(data, p, factors, r);
      Eigen::MatrixXd jacobian(rows, kN);
      for (Index i = 0; i < kN; ++i) {
        double& factor = factors[static_cast<std::size_t>(i)];
        const double kept = factor;
        factor += kStep;
        residuals(data, p, factors, moved);
        factor = kept;
        jacobian.col(i) = (moved - r) / kStep;
      }
      for (Index k = 0; k < rows; ++k) {
        // Student's t with 4 degrees of freedom: what no constant explains does not pull them.
        const double z = r[k] / scale;
        w[k] = data[p.samples[static_cast<std::size_t>(k)]]->weight * 5 / (4 + z * z) /
               (scale * scale);
        all.push_back(r[k]);
      }
      const Eigen::MatrixXd weighted = w.asDiagonal() * jacobian;
      const Eigen::MatrixXd block = jacobian.transpose() * weighted;
      const Eigen::VectorXd g = weighted.transpose() * r;
      const Index at[] = {0, p.of_engine, p.own};
      for (const Index i : at) {
        gradient.segment(i, kN) += g;
        for (const Index j : at) normal.block(i, j, kN, kN) += block;
      }
    }
    normal.diagonal() += precision;
    gradient += precision.cwiseProduct(x);
    Eigen::VectorXd step = normal.ldlt().solve(gradient);
    const double longest = step.cwiseAbs().maxCoeff();
    if (longest > 0.5) step *= 0.5 / longest;
    const double before = misfit(data, layout, x, precision, scale);
    while (longest > 1e-3 && step.cwiseAbs().maxCoeff() > 1e-3 &&
           misfit(data, layout, x - step, precision, scale) > before)
      step /= 2;
    x -= step;
    scale = std::max(0.03, 1.4826 * median_size(std::move(all)));
    if (longest < 1e-3) break;
  }

  const Eigen::MatrixXd covariance =
      normal.ldlt().solve(Eigen::MatrixXd::Identity(layout.size, layout.size));
  std::map<std::string, EngineFit> out;
  const auto make = [&](const std::string& name, std::initializer_list<Index> blocks,
                        std::size_t rows) {
    Eigen::MatrixXd pick = Eigen::MatrixXd::Zero(kN, layout.size);
    for (const Index at : blocks) pick.block(0, at, kN, kN).setIdentity();
    const Eigen::VectorXd v = pick * x;
    const Eigen::MatrixXd c = pick * covariance * pick.transpose();
    EngineFit f;
    f.engine = name, f.rows = static_cast<int>(rows), f.residual = scale;
    for (Index i = 0; i < kN; ++i) {
      const auto k = static_cast<std::size_t>(i);
      f.log_factor[k] = v[i], f.standard_error[k] = std::sqrt(c(i, i));
      const Eigen::VectorXd row = c.row(i);
      f.covariance.emplace_back(row.data(), row.data() + row.size());
    }
    out[name] = std::move(f);
  };
  make("generic", {0}, data.size());
  for (const auto& [name, at] : layout.engines) {
    std::size_t rows = 0;
    for (const Place& p : layout.places) rows += p.engine == name ? p.samples.size() : 0;
    make(name, {0, at}, rows);
  }
  for (const Place& p : layout.places) make(p.name, {0, p.of_engine, p.own}, p.samples.size());
  return out;
}

}  // namespace kvroof::accuracy
