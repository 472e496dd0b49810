#include "model/node.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "model/quantity.hpp"
#include "model/user_error.hpp"

namespace kvroof {

const Node* Node::find(std::string_view key) const {
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (keys[i].name == key) return &items[i];
  return nullptr;
}
Node* Node::find(std::string_view key) {
  return const_cast<Node*>(static_cast<const Node*>(this)->find(key));
}

Node map_node() {
  Node n;
  n.kind = Node::Kind::map;
  return n;
}
Node sequence_node(std::vector<Node> items) {
  Node n;
  n.kind = Node::Kind::sequence;
  n.items = std::move(items);
  return n;
}
Node string_node(std::string text) {
  Node n = plain_node(std::move(text));
  n.quoted = true;
  return n;
}
Node plain_node(std::string text) {
  Node n;
  n.kind = Node::Kind::scalar;
  n.text = std::move(text);
  return n;
}
Node null_node() { return {}; }

Node& put(Node& map, std::string key, Node value) {
  map.keys.push_back({std::move(key), {}});
  map.items.push_back(std::move(value));
  return map;
}

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\', out += c;
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    else out += c;
  }
  return out + '"';
}

namespace {

void write_json(const Node& n, int depth, std::string& out) {
  const std::string indent(2 * static_cast<std::size_t>(depth + 1), ' ');
  switch (n.kind) {
    case Node::Kind::null:
      out += "null";
      return;
    case Node::Kind::scalar:
      out += n.quoted ? json_quote(n.text) : n.text;
      return;
    case Node::Kind::sequence:
    case Node::Kind::map:
      break;
  }
  const char* brackets = n.is_map() ? "{}" : "[]";
  out += brackets[0];
  for (std::size_t i = 0; i < n.items.size(); ++i) {
    out.append(i ? ",\n" : "\n").append(indent);
    if (n.is_map()) out.append(json_quote(n.keys[i].name)).append(": ");
    write_json(n.items[i], depth + 1, out);
  }
  if (!n.items.empty()) out.append("\n").append(indent, 2);
  out += brackets[1];
}

/// Words that YAML would take for something else than the string they are.
bool needs_quotes(const std::string& s) {
  if (s.empty() || s == "null" || s == "~" || s == "true" || s == "false" || parse_number(s))
    return true;
  if (s.find_first_of(":#{}[],&*?|<>=!%@`\"'\\\n\t") != std::string::npos) return true;
  return s.front() == ' ' || s.back() == ' ' || s.front() == '-' || s.front() == '.';
}

void write_flow_scalar(const Node& n, std::string& out) {
  if (n.is_null()) out += "null";
  else out += n.quoted && needs_quotes(n.text) ? json_quote(n.text) : n.text;
}

bool fits_one_line(const Node& n) {
  return std::all_of(n.items.begin(), n.items.end(),
                     [](const Node& i) { return i.is_null() || i.is_scalar(); });
}

void write_yaml(const Node& n, int depth, std::string& out) {
  const std::string indent(2 * static_cast<std::size_t>(depth), ' ');
  for (std::size_t i = 0; i < n.items.size(); ++i) {
    const Node& item = n.items[i];
    out.append(indent).append(n.is_map() ? n.keys[i].name + ":" : "-");
    if (item.is_null() || item.is_scalar()) {
      out += ' ';
      write_flow_scalar(item, out);
      out += '\n';
    } else if (item.items.empty()) {
      out += item.is_map() ? " {}\n" : " []\n";
    } else if (fits_one_line(item) && depth > 0) {
      out += item.is_map() ? " {" : " [";
      for (std::size_t k = 0; k < item.items.size(); ++k) {
        if (k) out += ", ";
        if (item.is_map()) out += item.keys[k].name + ": ";
        write_flow_scalar(item.items[k], out);
      }
      out += item.is_map() ? "}\n" : "]\n";
    } else {
      out += '\n';
      write_yaml(item, depth + 1, out);
    }
  }
}

/// Printable ASCII only, one cell per byte, so that the caret stands under its column.
std::string printable(std::string_view line) {
  std::string out(line);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = ' ';
  return out;
}

}  // namespace

std::string to_json(const Node& node) {
  std::string out;
  write_json(node, 0, out);
  return out + '\n';
}

std::string to_yaml(const Node& node) {
  std::string out;
  write_yaml(node, 0, out);
  return out;
}

void Errors::add(const Mark& mark, std::string_view path, std::string_view message) {
  constexpr std::size_t kMost = 50;  // of a file that is wrong throughout, the first ones suffice
  if (found_.size() >= kMost) return;
  const std::string file = mark.source ? mark.source->name : "input";
  std::string text = file;
  if (mark.line > 0) text += fmt::format(":{}:{}", mark.line, mark.column);
  text += ": ";
  if (!path.empty()) text += fmt::format("{}: ", path);
  text += message;
  if (mark.source && mark.line > 0) {
    constexpr int kWidth = 96;
    const std::string line = printable(source_line(*mark.source, mark.line));
    const int begin = mark.column > kWidth ? mark.column - kWidth / 2 : 0;
    const std::string shown =
        static_cast<std::size_t>(begin) < line.size() ? line.substr(begin, kWidth) : std::string();
    text += fmt::format(
        "\n{:>5} | {}\n      | {}^", mark.line, shown,
        std::string(static_cast<std::size_t>(std::max(0, mark.column - 1 - begin)), ' '));
  }
  for (const Found& f : found_)
    if (f.message == text) return;
  found_.push_back({file, mark.line, mark.column, std::move(text)});
}

void Errors::throw_if_any() {
  if (found_.empty()) return;
  std::stable_sort(found_.begin(), found_.end(), [](const Found& a, const Found& b) {
    return a.file == b.file && std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  std::vector<std::string> messages;
  for (Found& f : found_) messages.push_back(std::move(f.message));
  found_.clear();
  throw UserError(std::move(messages));
}

std::string described(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      return "null";
    case Node::Kind::scalar:
      return node.text.size() > 60 ? json_quote(printable(node.text.substr(0, 57)) + "...")
                                   : json_quote(printable(node.text));
    case Node::Kind::sequence:
      return "a list";
    case Node::Kind::map:
      return "a mapping";
  }
  return {};
}

std::string source_line(const SourceText& source, int line) {
  std::size_t begin = 0;
  for (int i = 1; i < line; ++i) {
    begin = source.text.find('\n', begin);
    if (begin == std::string::npos) return {};
    ++begin;
  }
  return source.text.substr(begin, source.text.find('\n', begin) - begin);
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0u);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known) {
  if (word.size() > 100) return {};
  std::string_view best;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view k : known) {
    const std::size_t distance = edit_distance(word, k);
    if (distance < least && distance < k.size()) least = distance, best = k;
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known) {
  const std::string_view best = nearest(word, known);
  return best.empty() ? std::string() : fmt::format(", did you mean '{}'?", best);
}

}  // namespace kvroof
