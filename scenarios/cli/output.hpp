// Where a verb writes, and what its terminal can show.
#pragma once
#include <fstream>
#include <iosfwd>
#include <string>

namespace kvroof::cli {

/// stdout, or a file that must be writable (UserError).
class Output {
 public:
  explicit Output(const std::string& file);
  std::ostream& stream();
  /// Bars may use Unicode: the locale names UTF-8 and TERM is not dumb. Files always may.
  bool unicode() const;

 private:
  std::ofstream file_;
};

/// json, csv or md by the file's ending; table otherwise.
std::string format_of_file(const std::string& file);

}  // namespace kvroof::cli
