// A small table: rows of cells, printed aligned, as CSV or as Markdown.
// The first row is the header.
#pragma once
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace kvroof::reports {

class Grid {
 public:
  /// One letter a column: 'l' left-aligned, anything else right-aligned.
  explicit Grid(std::string align) : align_(std::move(align)) {}
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  const std::vector<std::vector<std::string>>& rows() const { return rows_; }

  void print(std::ostream& out, std::string_view indent = "") const;
  void print_csv(std::ostream& out) const;
  void print_markdown(std::ostream& out) const;

 private:
  bool left(std::size_t column) const { return column < align_.size() && align_[column] == 'l'; }
  std::string align_;
  std::vector<std::vector<std::string>> rows_;
};

/// A CSV field, quoted where it needs to be (RFC 4180).
std::string csv_field(const std::string& s);

}  // namespace kvroof::reports
