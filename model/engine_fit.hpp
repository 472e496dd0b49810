// What an engine's kernels and its host cost per step: constants fitted to public measurements by
// `kvroof calibrate`, kept as data in hw_profiles/engines/, and the few that every step uses.
#pragma once
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/engine.hpp"

namespace kvroof {

inline constexpr std::size_t kNumEngineConstants = 27;

/// One constant: a factor on a default that was known before the fit.
///   of         the default: a time, or "the GPU's" share or time of that kernel class
///   looseness  how far it may go, in units of the prior's standard deviation: host times were
///              guesses, kernels come from tables
struct EngineConstant {
  std::string_view name, of;
  double looseness = 1;
};
std::span<const EngineConstant, kNumEngineConstants> engine_constants();

/// The constants of one engine as logarithms of their factors.
struct EngineFit {
  std::string engine, source;
  int rows = 0;
  double residual = 0;  // robust standard deviation of log(predicted/measured)
  std::array<double, kNumEngineConstants> log_factor{}, standard_error{};
  std::vector<std::vector<double>> covariance;  // of the log factors; not kept in the YAML
};

/// The engine with these constants.
EngineTraits with_constants(EngineTraits engine,
                            std::span<const double, kNumEngineConstants> log_factors);

std::string print_engine_fit(const EngineFit& fit);
EngineFit read_engine_fit(const std::string& path);  // UserError with every fault

/// The engine with fitted constants: those of hw_profiles/engines/<name>-<architecture>.yaml, else
/// of <name>.yaml, in the first root that has one; the plain traits where none has. An unknown name
/// gets vLLM's rules and the constants of "generic", shared by all engines.
EngineTraits load_engine(std::string_view name, std::string_view architecture,
                         const std::vector<std::string>& roots);

}  // namespace kvroof
