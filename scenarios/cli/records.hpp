// Measured records as figures: how far to trust the model.
//
//   records of kvroof-probe validate    part,name,args,quantity,unit,predicted,measured,…
//                                       the prediction stands in the row
//   records of attention kernel times   kernel,case,us,p5_us,p95_us,…
//                                       predicted here, from the case: "b32 h32/8 s1/8192 d128"
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "model/machine.hpp"
#include "model/scenario.hpp"
#include "reports/figures/roofline.hpp"
#include "reports/figures/validation.hpp"
#include "reports/html.hpp"
#include "scenarios/cli/resolve.hpp"

namespace kvroof::cli {

/// The call of a record; nothing for kernels that are not ours (PyTorch's SDPA).
std::optional<KernelCall> parse_case(const std::string& kernel, const std::string& text);

/// What to draw of records; empty lists: everything.
///   quantities   "time", "HBM read", …, "roofline"
struct RecordChoice {
  std::vector<std::string> quantities, kernels;
};

struct RecordFigures {
  std::vector<reports::Validation> scatters;  // one a quantity
  std::optional<reports::Roofline> roofline;  // of timed kernels
  std::size_t left_out = 0;                   // rows without a prediction
};
/// Throws UserError for files that are no records, and for a choice that leaves nothing.
RecordFigures read_records(const std::vector<std::string>& files, const Machine& machine,
                           const RecordChoice& choice = {});

/// The same, drawn. The GPU is --hardware, h200-sxm-141gb without.
std::vector<reports::Figure> record_figures(const std::vector<std::string>& files,
                                            const Inputs& inputs, const RecordChoice& choice = {});

}  // namespace kvroof::cli
