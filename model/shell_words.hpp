// A pasted command line as the words a POSIX shell would pass on.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace kvroof {

/// Words as a POSIX shell splits them: blanks, '…', "…", backslashes, line continuations, comments.
/// Nothing is expanded. UserError, beginning with `where`, on an open quote or a shell operator.
std::vector<std::string> shell_words(std::string_view command, std::string_view where);

}  // namespace kvroof
