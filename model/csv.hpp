// Comma-separated records (RFC 4180), '#' comment lines in the head, .gz through gzip.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvroof {

struct CsvRow {
  int line = 0;  // of the file, 1-based
  std::vector<std::string> cells;
};

struct Csv {
  std::string file;
  std::vector<std::string> comments;
  std::vector<std::string> header;
  std::vector<CsvRow> rows;

  /// Column index of the first of `names` that exists; −1 without.
  int column(std::initializer_list<std::string_view> names) const;
  bool has(std::initializer_list<std::string_view> all) const;
};

/// UserError when the file cannot be read, is larger than 512 MiB, has no header, or a quote is
/// open at its end.
Csv read_csv(const std::string& path);
Csv parse_csv(std::string_view text, std::string file);

/// A finite decimal number and nothing else.
std::optional<double> to_number(std::string_view text);

}  // namespace kvroof
