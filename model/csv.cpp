#include "model/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>

#include "model/user_error.hpp"

namespace kvroof {
namespace {

constexpr std::size_t kLargest = std::size_t{512} << 20;

std::string slurp(std::FILE* in, const std::string& path) {
  std::string text;
  char buffer[1 << 16];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, in)) {
    text.append(buffer, n);
    if (text.size() > kLargest) throw UserError(path + ": expected at most 512 MiB of text");
  }
  return text;
}

struct Close {
  void operator()(std::FILE* f) const { std::fclose(f); }
};

/// 'it''s' for the shell.
std::string quoted(const std::string& path) {
  std::string out = "'";
  for (char c : path) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string read_text(const std::string& path) {
  std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  if (!file) throw UserError(path + ": expected a readable file, found none");
  if (!path.ends_with(".gz")) return slurp(file.get(), path);
  std::FILE* pipe = popen(("gzip -dc -- " + quoted(path) + " 2>/dev/null").c_str(), "r");
  if (!pipe) throw UserError(path + ": could not start gzip");
  std::string text = slurp(pipe, path);
  if (pclose(pipe) != 0) throw UserError(path + ": expected gzip data (gzip -dc failed)");
  return text;
}

}  // namespace

int Csv::column(std::initializer_list<std::string_view> names) const {
  for (std::string_view name : names)
    if (const auto it = std::find(header.begin(), header.end(), name); it != header.end())
      return static_cast<int>(it - header.begin());
  return -1;
}

bool Csv::has(std::initializer_list<std::string_view> all) const {
  return std::all_of(all.begin(), all.end(),
                     [&](std::string_view name) { return column({name}) >= 0; });
}

Csv parse_csv(std::string_view text, std::string file) {
  Csv csv;
  csv.file = std::move(file);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  int line = 1;
  std::size_t i = 0;
  while (i < text.size()) {
    if (csv.header.empty() && text[i] == '#') {
      const std::size_t end = std::min(text.find('\n', i), text.size());
      csv.comments.emplace_back(text.substr(i, end - i));
      i = end + 1, ++line;
      continue;
    }
    CsvRow row{.line = line, .cells = {""}};
    bool in_quotes = false;
    for (;; ++i) {
      if (i >= text.size()) {
        if (in_quotes)
          throw UserError(
              fmt::format("{}:{}:1: expected a closing quote before the end", csv.file, row.line));
        break;
      }
      const char c = text[i];
      if (c == '\n') ++line;
      if (in_quotes) {
        if (c != '"') row.cells.back() += c;
        else if (i + 1 < text.size() && text[i + 1] == '"') row.cells.back() += '"', ++i;
        else in_quotes = false;
      } else if (c == '"') {
        in_quotes = true;
      } else if (c == ',') {
        row.cells.emplace_back();
      } else if (c == '\n') {
        ++i;
        break;
      } else if (c != '\r') {
        row.cells.back() += c;
      }
    }
    if (row.cells.size() == 1 && row.cells[0].empty()) continue;  // blank line
    if (csv.header.empty()) csv.header = std::move(row.cells);
    else csv.rows.push_back(std::move(row));
  }
  if (csv.header.empty())
    throw UserError(csv.file + ":1:1: expected a header line, found an empty file");
  return csv;
}

Csv read_csv(const std::string& path) { return parse_csv(read_text(path), path); }

std::optional<double> to_number(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

}  // namespace kvroof
