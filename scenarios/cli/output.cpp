#include "scenarios/cli/output.hpp"

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "model/user_error.hpp"

namespace kvroof::cli {

Output::Output(const std::string& file) {
  if (file.empty()) return;
  file_.open(file);
  if (!file_) throw UserError(file + ": expected a file that can be written");
}

std::ostream& Output::stream() { return file_.is_open() ? file_ : std::cout; }

bool Output::unicode() const {
  if (file_.is_open()) return true;
  if (const char* term = std::getenv("TERM"); term && std::string_view(term) == "dumb")
    return false;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
    if (const char* value = std::getenv(name); value && *value) {
      const std::string_view locale(value);
      return locale.find("UTF-8") != std::string_view::npos ||
             locale.find("utf8") != std::string_view::npos ||
             locale.find("UTF8") != std::string_view::npos;
    }
  return false;
}

std::string format_of_file(const std::string& file) {
  const std::size_t dot = file.rfind('.');
  const std::string ending = dot == std::string::npos ? "" : file.substr(dot + 1);
  return ending == "json" || ending == "csv" || ending == "md" ? ending : "table";
}

}  // namespace kvroof::cli
