// Few constants per engine from many measurements: robust weighted least squares with priors.
#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/accuracy/context.hpp"
#include "model/predict.hpp"

namespace kvroof::accuracy {

/// A constant of an engine, as the factor exp(x) on its default; x and its standard error.
struct Constant {
  std::string name;
  double log_factor = 0, standard_error = 0;
};

/// The constants of one engine, in the order of constant_names().
struct EngineFit {
  std::string engine;
  std::vector<Constant> constants;
  std::vector<std::vector<double>> covariance;  // of the log factors
  int rows = 0;
  double residual = 0;  // robust standard deviation of log(predicted/measured)
};

std::span<const std::string_view> constant_names();

/// The engine's traits with these log factors applied.
EngineTraits with_factors(EngineTraits traits, std::span<const double> log_factors);

/// One measurement as the fit sees it: its steps, counted once.
struct Sample {
  std::string engine, group, configuration;
  const Measurement* row = nullptr;
  Machine machine;
  bool cuda_graphs = true;
  struct Share {
    std::vector<Op> ops;
    double weight = 1, requests = 1;
  };
  std::vector<Share> shares;
  double measured = 0, weight = 1;
};

/// Predicted TPOT of a sample under an engine's traits; `machine` has its kernels applied.
double predicted(const Sample& s, const EngineTraits& traits, const Machine& machine);

struct FitOptions {
  int iterations = 14;
  double prior = 0.35;      // standard deviation of a shared log factor
  double deviation = 0.25;  // of an engine's own deviation from it
};

/// Shared log factors and one deviation per engine; "generic" holds the shared ones alone.
std::map<std::string, EngineFit> fit(const std::vector<const Sample*>& samples, const FitOptions&);

std::vector<Sample> samples(Context& context, std::span<const Measurement> rows);

}  // namespace kvroof::accuracy
