// The `measured` block of a hardware profile (or another block of figures) as text: replaced in place, the rest of the file stays
// byte for byte as its author wrote it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace kvroof::probe {

/// One line of the block: `key: {value: …, source: "…"}`, or plain `key: "…"` if `source` is empty.
struct MeasuredLine {
  std::string key, value, source;
};

/// The profile with these lines in its block `measured`. Keys that are there already are replaced
/// where they stand (comments above them stay), new ones follow in the order given, others are
/// kept. A file without the block gets one at its end. Throws UserError if the block is not an
/// indented block (`measured: {…}`), naming `file` and line.
std::string with_measured(std::string_view profile, const std::vector<MeasuredLine>& lines,
                          std::string_view file, std::string_view block = "measured");

}  // namespace kvroof::probe
