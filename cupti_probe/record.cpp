#include "cupti_probe/record.hpp"

#include <fmt/core.h>

#include <array>
#include <cmath>
#include <filesystem>

#include "model/replace_file.hpp"
#include "model/user_error.hpp"

namespace kvroof::probe {
namespace {

std::string part_of(const std::string& path) { return path + ".part"; }

}  // namespace

std::string csv_row(const std::vector<std::string>& fields) {
  std::string row;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (i) row += ',';
    const std::string& field = fields[i];
    if (field.find_first_of(",\"\n\r") == std::string::npos) {
      row += field;
      continue;
    }
    row += '"';
    for (const char c : field) row += c == '"' ? std::string("\"\"") : std::string(1, c);
    row += '"';
  }
  return row + '\n';
}

std::string csv_number(std::optional<double> value) {
  return value ? fmt::format("{}", *value) : std::string{};
}

void check_record_path(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty() && !std::filesystem::is_directory(folder, error))
    throw UserError(fmt::format("--csv: expected a file in an existing folder, got '{}'", path));
}

Record::Record(std::string path, const std::vector<std::string>& columns,
               const std::vector<std::string>& head)
    : path_(std::move(path)), rows_(csv_row(columns)) {
  check_record_path(path_);
  part_.open(part_of(path_), std::ios::trunc);
  if (!part_) throw UserError(fmt::format("--csv: '{}' cannot be written", part_of(path_)));
  for (const std::string& line : head) part_ << line << '\n';
  part_ << rows_ << std::flush;
}

Record::~Record() {
  if (!empty_) return;
  part_.close();
  std::error_code ignored;
  std::filesystem::remove(part_of(path_), ignored);
}

void Record::row(const std::vector<std::string>& fields) {
  empty_ = false;
  const std::string line = csv_row(fields);
  rows_ += line;
  part_ << line << std::flush;
}

void Record::close(const std::vector<std::string>& head) {
  std::string text;
  for (const std::string& line : head) text += line + '\n';
  replace_file(path_, text + rows_);
  part_.close();
  std::error_code ignored;  // a part that stays behind does no harm
  std::filesystem::remove(part_of(path_), ignored);
}

std::unique_ptr<Record> open_record(const std::string& path,
                                    const std::vector<std::string>& columns,
                                    const std::vector<std::string>& head) {
  return path.empty() ? nullptr : std::make_unique<Record>(path, columns, head);
}

std::string with_prefix(double value, std::string_view unit) {
  if (unit == "1") return fmt::format("{:.4g}", value);
  if (unit == "cycle" || unit == "wavefront" || unit == "FLOP/clk/SM" || unit == "B/clk/SM")
    return fmt::format("{:.6g} {}", value, unit);
  constexpr std::array<std::string_view, 11> prefixes{"n", "u", "m", "",  "k", "M",
                                                      "G", "T", "P", "E", "Z"};
  const double magnitude = std::abs(value);
  int step = magnitude > 0 ? static_cast<int>(std::floor(std::log10(magnitude) / 3)) : 0;
  // Only times have parts worth a prefix; 0.3 byte stays 0.3 byte.
  step = std::max(step, unit == "s" ? -3 : 0);
  if (unit == "s") step = std::min(step, 0);
  step = std::min(step, 7);
  std::string_view shown = unit == "byte" ? "B" : unit == "byte/s" ? "B/s" : unit;
  if (shown == "flop") shown = "FLOP";
  if (shown == "flop/s") shown = "FLOP/s";
  return fmt::format("{:.4g} {}{}", value / std::pow(1000.0, step),
                     prefixes[static_cast<std::size_t>(step + 3)], shown);
}

}  // namespace kvroof::probe
