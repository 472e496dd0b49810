#include "cupti_probe/measured_block.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "model/user_error.hpp"

namespace kvroof::probe {
namespace {

/// A double-quoted YAML scalar.
std::string yaml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string text_of(const MeasuredLine& line, std::string_view indent) {
  if (line.source.empty())
    return fmt::format("{}{}: {}\n", indent, line.key, yaml_string(line.value));
  return fmt::format("{}{}: {{value: {}, source: {}}}\n", indent, line.key, line.value,
                     yaml_string(line.source));
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::size_t length = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

bool blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n") == std::string_view::npos;
}
std::size_t indent_of(std::string_view line) { return line.find_first_not_of(' '); }

/// The key a line of the block defines at `indent`; empty for comments, blanks and continuations.
std::string_view key_of(std::string_view line, std::size_t indent) {
  if (blank(line) || indent_of(line) != indent || line[indent] == '#') return {};
  const std::size_t colon = line.find(':', indent);
  return colon == std::string_view::npos ? std::string_view{} : line.substr(indent, colon - indent);
}

}  // namespace

std::string with_measured(std::string_view profile, const std::vector<MeasuredLine>& lines,
                          std::string_view file, std::string_view block) {
  const std::string key_line = std::string(block) + ":";
  const std::vector<std::string_view> old = lines_of(profile);
  const auto head = std::find_if(old.begin(), old.end(),
                                 [&](std::string_view line) { return line.starts_with(key_line); });
  std::string out;
  if (head == old.end()) {
    out = profile;
    if (!out.empty() && out.back() != '\n') out += '\n';
    out += key_line + '\n';
    for (const MeasuredLine& line : lines) out += text_of(line, "  ");
    return out;
  }
  std::string_view rest = head->substr(key_line.size());
  rest = rest.substr(0, rest.find('#'));
  const std::size_t number = static_cast<std::size_t>(head - old.begin()) + 1;
  if (!blank(rest))
    throw UserError(
        fmt::format("{}:{}:{}: {}: expected an indented block, one figure a line, got '{}'", file,
                    number, key_line.size() + 1, block, rest.substr(rest.find_first_not_of(' '))));

  // The block ends before the first line that stands at the left margin; blank lines before that
  // belong to what follows.
  auto end = head + 1;
  for (auto it = head + 1; it != old.end() && (blank(*it) || indent_of(*it) > 0); ++it)
    if (!blank(*it)) end = it + 1;
  const auto first = std::find_if(head + 1, end, [](std::string_view line) {
    return !blank(line) && line[indent_of(line)] != '#';
  });
  const std::size_t indent = first == end ? 2 : indent_of(*first);
  const std::string margin(indent, ' ');

  std::vector<bool> written(lines.size(), false);
  for (auto it = old.begin(); it <= head; ++it) out += *it;
  bool skipping = false;  // over the continuation of a replaced figure
  for (auto it = head + 1; it != end; ++it) {
    const std::string_view key = key_of(*it, indent);
    if (skipping && key.empty() && !blank(*it) && indent_of(*it) > indent) continue;
    skipping = false;
    const auto match = std::find_if(lines.begin(), lines.end(),
                                    [&](const MeasuredLine& line) { return line.key == key; });
    if (key.empty() || match == lines.end()) {
      out += *it;
      if (out.back() != '\n') out += '\n';
      continue;
    }
    out += text_of(*match, margin);
    written[static_cast<std::size_t>(match - lines.begin())] = true;
    skipping = true;
  }
  for (std::size_t i = 0; i < lines.size(); ++i)
    if (!written[i]) out += text_of(lines[i], margin);
  for (auto it = end; it != old.end(); ++it) out += *it;
  return out;
}

}  // namespace kvroof::probe
