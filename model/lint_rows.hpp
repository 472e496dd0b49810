// One row of a measurement table -> the least work it claims to have done. Lower bounds, on purpose
// simpler than the model: a label may hide a narrower format,
// so every operand takes the smallest one.
#pragma once
#include <fmt/format.h>

#include <optional>
#include <string>

#include "model/csv.hpp"
#include "model/op.hpp"

namespace kvroof::lint_rows {

/// The least a row must do, and how long it says it took.
struct Claimed {
  Seconds measured;
  Flops flops;
  MathType math = MathType::bf16;
  Bytes bytes;        // compulsory HBM traffic
  bool cold = false;  // every byte comes from HBM: no repeated run can find it in L2
  Collective collective;
  double gpus = 1;  // the work is spread over so many
  std::string what;
};

/// One row, its cells by column name, and the faults met while reading them.
class Row {
 public:
  Row(const Csv& csv, const CsvRow& row) : csv_(csv), row_(row) {}

  std::string text(std::initializer_list<std::string_view> names) const {
    const int c = csv_.column(names);
    return c >= 0 && static_cast<std::size_t>(c) < row_.cells.size()
               ? row_.cells[static_cast<std::size_t>(c)]
               : "";
  }
  /// A number above zero (or at least zero); otherwise the row is malformed.
  double number(std::initializer_list<std::string_view> names, double least_exclusive = 0) {
    const std::string cell = text(names);
    const std::optional<double> x = to_number(cell);
    if (x && *x > least_exclusive) return *x;
    if (fault_.empty())
      fault_ = fmt::format("{}: expected a number above {}, got \"{}\"", *names.begin(),
                           least_exclusive, cell);
    return 1;
  }
  double number_or(std::string_view name, double otherwise) const {
    return to_number(text({name})).value_or(otherwise);
  }
  const std::string& fault() const { return fault_; }

 private:
  const Csv& csv_;
  const CsvRow& row_;
  std::string fault_;
};

/// One reader a table; what it does not find is a fault of the row.
Claimed gemm_row(Row& r);
Claimed attention_row(Row& r, bool decode);
Claimed latent_row(Row& r, bool decode);  // DeepSeek's MLA shape
Claimed moe_row(Row& r);
Claimed collective_row(Row& r);
Claimed generic_row(Row& r, const Csv& csv);  // bytes and FLOPs stated in the row itself

/// End-to-end rows; nullopt with the reason where a row has no floor of its own.
std::optional<Claimed> metric_row(Row& r, std::string& reason);
std::optional<Claimed> silicon_row(Row& r, std::string& reason);

}  // namespace kvroof::lint_rows
