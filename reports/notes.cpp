#include "reports/notes.hpp"

#include <algorithm>
#include <ostream>
#include <string_view>

#include "reports/terminal.hpp"

namespace kvroof::reports {
namespace {

/// `note` behind a head of its first line; further lines stand under its first word.
void print_note(std::ostream& out, std::string_view head, std::string_view note, int columns) {
  const std::size_t room = static_cast<std::size_t>(columns) - head.size();
  std::string line;
  const auto flush = [&] {
    out << head << line << '\n';
    head = std::string_view("         ").substr(0, head.size());
    line.clear();
  };
  while (!note.empty()) {
    const std::size_t end = std::min(note.find(' '), note.size());
    const std::string word(note.substr(0, end));
    note.remove_prefix(std::min(end + 1, note.size()));
    if (!line.empty() && display_width(line) + 1 + display_width(word) > room) flush();
    line += (line.empty() ? "" : " ") + word;
  }
  flush();
}

}  // namespace

void print_notes(std::ostream& out, const Notes& notes, int columns) {
  for (std::size_t i = 0; i < notes.assumed.size(); ++i)
    print_note(out, i ? "         " : "assumed: ", notes.assumed[i], columns);
  for (const std::string& w : notes.warnings) print_note(out, "warning: ", w, columns);
  for (std::size_t i = 0; i < notes.next.size(); ++i)
    out << (i ? "         " : "next:    ") << notes.next[i] << '\n';
}

}  // namespace kvroof::reports
