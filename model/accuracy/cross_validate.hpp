// How a calibration does on what it has not seen.
#pragma once
#include "model/accuracy/calibrate.hpp"
#include "model/accuracy/tally.hpp"

namespace kvroof::accuracy {

/// A sample and the TPOT that a fit gives it.
struct Held {
  const Sample* sample = nullptr;
  double predicted = 0;
  double error() const { return predicted / sample->measured - 1; }
};

using Fits = std::map<std::string, EngineFit>;

/// Under the constants of each sample's engine; those of "generic" where the fit never saw it.
std::vector<Held> evaluate(const Fits& fits, const std::vector<const Sample*>& samples);

/// Fits on one half of the configurations and answers the other, then the reverse. Configurations
/// are dealt by a generator with this seed; rows of one configuration stay together.
std::vector<Held> random_halves(const std::vector<const Sample*>& samples,
                                const FitOptions& options, std::uint64_t seed);

/// Each group is answered by a fit on all others. The key says what is held out: the group (GPU,
/// engine and network), or its GPU, engine or network alone.
enum class LeaveOut { group, hardware, engine, model };
std::vector<Held> leave_out(const std::vector<const Sample*>& samples, const FitOptions& options,
                            LeaveOut what);

ErrorFigures figures(const std::vector<Held>& held);

}  // namespace kvroof::accuracy
