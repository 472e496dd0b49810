// Few constants per engine from many measurements: robust weighted least squares with priors.
#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/accuracy/context.hpp"
#include "model/engine_fit.hpp"
#include "model/predict.hpp"

namespace kvroof::accuracy {

/// One measurement as the fit sees it: its steps, counted once.
struct Sample {
  std::string engine, model, configuration;
  bool sparse = false;  // experts or latent attention
  std::string kernels() const { return engine + "-" + machine.architecture; }
  std::string group() const { return machine.id + " · " + engine + " · " + model; }
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
  const std::map<std::string, EngineFit>* start = nullptr;  // where to begin; else the defaults
  int iterations = 30;
  double prior = 0.35;       // standard deviation of a shared log factor
  double deviation = 0.1;    // of an engine's own deviation from it
  double generation = 0.05;  // of an engine's kernels for one GPU generation from the engine's
};

/// Shared log factors, one deviation per engine, and one per engine and GPU generation, since an
/// engine brings other kernels for each. Keys: "generic" holds the shared ones alone, "trtllm"
/// those of an engine, "trtllm-hopper" all three.
std::map<std::string, EngineFit> fit(const std::vector<const Sample*>& samples, const FitOptions&);

/// The traits a fit starts from: the engine's own rules, vLLM's for an unknown one.
EngineTraits prior_traits(const std::string& engine);

/// TPOT rows of closed loops in the files of these paths.
std::vector<Measurement> closed_loop_tpot(const std::vector<std::string>& paths);

/// `context` leaves GPUs as their profiles say. Rows without an answer give no sample.
std::vector<Sample> samples(Context& context, std::span<const Measurement> rows);

}  // namespace kvroof::accuracy
