#include "reports/grid.hpp"

#include <algorithm>
#include <ostream>

#include "reports/terminal.hpp"

namespace kvroof::reports {

void Grid::print(std::ostream& out, std::string_view indent) const {
  std::vector<std::size_t> width;
  for (const auto& r : rows_)
    for (std::size_t i = 0; i < r.size(); ++i) {
      if (i >= width.size()) width.push_back(0);
      width[i] = std::max(width[i], display_width(r[i]));
    }
  for (const auto& r : rows_) {
    std::string line{indent};
    for (std::size_t i = 0; i < r.size(); ++i) {
      if (i) line += "  ";
      line += left(i) ? pad_right(r[i], width[i]) : pad_left(r[i], width[i]);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out << line << '\n';
  }
}

void Grid::print_csv(std::ostream& out) const {
  for (const auto& r : rows_) {
    for (std::size_t i = 0; i < r.size(); ++i) out << (i ? "," : "") << csv_field(r[i]);
    out << '\n';
  }
}

void Grid::print_markdown(std::ostream& out) const {
  for (std::size_t k = 0; k < rows_.size(); ++k) {
    out << '|';
    for (const std::string& cell : rows_[k]) out << ' ' << cell << " |";
    out << '\n';
    if (k > 0) continue;
    out << '|';
    for (std::size_t i = 0; i < rows_[0].size(); ++i) out << (left(i) ? "---|" : "--:|");
    out << '\n';
  }
}

std::string csv_field(const std::string& s) {
  if (s.find_first_of(",\"\n") == std::string::npos) return s;
  std::string quoted = "\"";
  for (char c : s) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

}  // namespace kvroof::reports
