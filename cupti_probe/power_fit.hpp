// The constants of model/power.hpp from records: steady runs with their draw and clock, and the
// clocks of rested launches under counters. Half of the kernels make the fit, the others judge it.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cupti_probe/op_record.hpp"
#include "model/power.hpp"
#include "model/profile.hpp"

namespace kvroof::probe {

///   load     units alone or in pairs; all are fitted     kernel  of the catalogue
///   aside    shown only: loops whose operands switch less than any kernel's
enum class SteadyPart { load, aside, kernel };
constexpr std::string_view name(SteadyPart p) {
  constexpr std::string_view names[] = {"load", "aside", "kernel"};
  return names[static_cast<int>(p)];
}

/// Launches without rest, of one case or of several at once.
///   seconds     of a launch of each op             settled  until it was as slow as in the window
///   clock       SM cycles over wall time, as a load reads them while it runs
///   set_clock   as the driver tells: while tensor cores work, SMs count fewer cycles than that
///   rested      SM clock of a single launch after a rest
struct SteadyRow {
  SteadyPart part = SteadyPart::load;
  std::string name, args;
  std::vector<Op> ops;
  std::vector<Seconds> seconds;
  Watts watts;
  Clock set_clock;
  std::optional<Clock> clock, rested;
  Seconds settled;
};

/// Columns of the record that kvroof-probe power writes, and its rows.
std::vector<std::string> power_columns();
std::vector<std::vector<std::string>> power_cells(const SteadyRow& row);
/// UserError for a file that is no such record.
std::vector<SteadyRow> read_power_record(const std::string& file);

/// A constant as fitted: its key in a profile's block `power`, in base units.
struct PowerConstant {
  std::string key;
  Measure measure = Measure::watts;
  bool plain = false;           // a number without unit
  double value = 0, error = 0;  // standard error; 0: not from least squares
  std::string source;
};

///   *_error   mean |predicted / measured - 1|: of the clock that the law finds, and of the draw at
///             the measured clock
struct PowerFit {
  PowerLaw law;
  std::vector<PowerConstant> constants;
  double tensor_share = 0;  // of the set clock that SMs count while tensor cores work
  int fitted = 0, judged = 0, clocks_fitted = 0, clocks_judged = 0;
  double draw_error_fitted = 0, draw_error_judged = 0, clock_error_judged = 0;
  double one_shot_error_fitted = 0, one_shot_error_judged = 0;
};

/// Linear least squares of relative draw for every slope of the voltage, and the best slope.
///   fastest   set clock without a limit          limit   of the board
/// UserError when rows of some unit are missing.
PowerFit fit_power(std::span<const SteadyRow> rows, Clock fastest, Watts limit);

/// Adds knee and droop from counted clocks of tensor kernels that ran 0.3 ms or longer: shapes of
/// records of kvroof-probe validate.
void fit_one_shot(PowerFit& fit, std::span<const TimedShape> shapes, Clock fastest);

/// Draw of a row by the law, and the set clock at which a limited one settles.
std::optional<Watts> predicted_draw(const SteadyRow& row, const PowerLaw& law, Clock fastest);
std::optional<Clock> predicted_clock(const SteadyRow& row, const PowerLaw& law, Clock fastest);

/// Whether each row made the fit; the others judge, or stand aside.
std::vector<bool> makes_fit(std::span<const SteadyRow> rows);

}  // namespace kvroof::probe
