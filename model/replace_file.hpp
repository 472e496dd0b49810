// Files that others may read while they are written.
#pragma once
#include <string>

namespace kvroof {

/// Writes beside the target and renames, so that a reader sees the old file or the new one. Throws
/// UserError where it cannot.
void replace_file(const std::string& path, const std::string& text);

}  // namespace kvroof
