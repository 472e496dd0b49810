// Strict YAML. The only user of yaml-cpp. What the library would let pass is refused here:
// duplicate keys, merge keys, tags, a second document, nesting or aliases without end.
#pragma once
#include <string>

#include "model/node.hpp"

namespace kvroof {

/// Limits that no honest input reaches, so that garbage ends in a message and not in a hang.
inline constexpr std::size_t kMaxInputBytes = 256 * 1024;
inline constexpr int kMaxDepth = 32;
inline constexpr std::size_t kMaxNodes = 20000;

/// Parses one document; on any error throws UserError with every place.
Node parse_yaml(std::string text, std::string name);

/// Reads the file and parses it.
Node load_yaml(const std::string& path);

/// The text of a regular file of at most max_bytes; UserError names the file and the reason.
std::string read_text_file(const std::string& path, std::size_t max_bytes = kMaxInputBytes);

}  // namespace kvroof
