// What stands below every table: what was assumed, what to beware of, what to ask next.
#pragma once
#include <iosfwd>
#include <string>
#include <vector>

namespace kvroof::reports {

struct Notes {
  std::vector<std::string> assumed, warnings, next;
};

/// Each note on lines of at most `columns`, broken at spaces. Commands stay on one line: they are
/// copied.
void print_notes(std::ostream& out, const Notes& notes, int columns = 100);

}  // namespace kvroof::reports
