#include "model/yaml.hpp"

#include <fmt/format.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "model/user_error.hpp"

namespace kvroof {
namespace {

/// Stops the parser: the tree is already too large or too deep to be an input of ours.
struct LimitReached {
  Mark mark;
  std::string message;
};

/// Builds the tree from yaml-cpp's events; a frame per open container.
class Builder : public YAML::EventHandler {
 public:
  Builder(std::shared_ptr<const SourceText> source, Errors& errors)
      : source_(std::move(source)), errors_(errors) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& m) override {
    if (++documents_ > 1) throw LimitReached{at(m), "expected one YAML document, got more"};
  }
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark&, const std::string&) override {}

  void OnNull(const YAML::Mark& m, YAML::anchor_t anchor) override {
    Node n;
    n.mark = at(m);
    finish(std::move(n), anchor);
  }
  void OnScalar(const YAML::Mark& m, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node n = plain_node(value);
    n.mark = at(m);
    n.quoted = tag == "!";
    check_tag(m, tag);
    if (n.quoted) check_quote(n.mark);
    for (const char c : value)  // an escape in quotes can smuggle one in
      if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
        throw LimitReached{n.mark, "expected a text, it holds an escaped control character"};
    finish(std::move(n), anchor);
  }
  void OnAlias(const YAML::Mark& m, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end())
      throw LimitReached{at(m), "an alias may not stand inside its own anchor"};
    count(size(it->second), at(m));
    Node copy = it->second;
    copy.mark = at(m);
    finish(std::move(copy), 0);
  }
  void OnSequenceStart(const YAML::Mark& m, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(m, tag, anchor, sequence_node());
  }
  void OnMapStart(const YAML::Mark& m, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(m, tag, anchor, map_node());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor;
    bool has_key = false, skip = false;
    Node::Key key;
  };

  Mark at(const YAML::Mark& m) const { return {source_, m.line + 1, m.column + 1}; }

  static std::size_t size(const Node& n) {
    std::size_t total = 1;
    for (const Node& i : n.items) total += size(i);
    return total;
  }
  void count(std::size_t nodes, const Mark& mark) {
    nodes_ += nodes;
    if (nodes_ > kMaxNodes)
      throw LimitReached{mark, fmt::format("more than {} values, aliases included", kMaxNodes)};
  }
  /// yaml-cpp takes an open quote to reach to the end of the file, and all keys on the way with it.
  void check_quote(const Mark& mark) {
    const std::string line = source_line(*source_, mark.line);
    const auto open = static_cast<std::size_t>(mark.column - 1);
    if (open >= line.size()) return;
    const char quote = line[open];
    for (std::size_t i = open + 1; i < line.size(); ++i) {
      if (quote == '"' && line[i] == '\\') ++i;
      else if (line[i] == quote) return;
    }
    throw LimitReached{mark, fmt::format("the quote {} is not closed in its line", quote)};
  }
  void check_tag(const YAML::Mark& m, const std::string& tag) {
    if (tag != "" && tag != "?" && tag != "!")
      errors_.add(at(m), "", "tags such as !!str are not supported");
  }
  void open(const YAML::Mark& m, const std::string& tag, YAML::anchor_t anchor, Node n) {
    check_tag(m, tag);
    if (frames_.size() >= static_cast<std::size_t>(kMaxDepth))
      throw LimitReached{at(m), fmt::format("nested deeper than {} levels", kMaxDepth)};
    n.mark = at(m);
    frames_.push_back({std::move(n), anchor, false, false, {}});
  }
  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    finish(std::move(frame.node), frame.anchor);
  }

  /// Hands a complete node to its parent: as element, as key or as value.
  void finish(Node n, YAML::anchor_t anchor) {
    count(1, n.mark);
    if (anchor) count(size(n), n.mark), anchors_[anchor] = n;
    if (frames_.empty()) {
      root_ = std::move(n);
      return;
    }
    Frame& parent = frames_.back();
    if (parent.node.is_sequence()) {
      parent.node.items.push_back(std::move(n));
    } else if (!parent.has_key) {
      take_key(parent, n);
    } else {
      parent.has_key = false;
      if (parent.skip) return;
      parent.node.keys.push_back(std::move(parent.key));
      parent.node.items.push_back(std::move(n));
    }
  }

  void take_key(Frame& parent, const Node& n) {
    parent.has_key = true;
    parent.skip = true;
    if (!n.is_scalar()) {
      errors_.add(n.mark, "", "expected a name as key, got " + described(n));
      return;
    }
    if (n.text == "<<" && !n.quoted) {
      errors_.add(n.mark, "", "merge keys (<<) are not supported; use 'extends: base.yaml'");
      return;
    }
    for (const Node::Key& k : parent.node.keys)
      if (k.name == n.text) {
        errors_.add(
            n.mark, "",
            fmt::format("duplicate key {}, first given in line {}", described(n), k.mark.line));
        return;
      }
    parent.skip = false;
    parent.key = {n.text, n.mark};
  }

  std::shared_ptr<const SourceText> source_;
  Errors& errors_;
  Node root_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Node> anchors_;
  std::size_t nodes_ = 0;
  int documents_ = 0;
};

/// Bytes of the UTF-8 character that begins at text[i]; 0 where none does.
std::size_t utf8_length(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char lead = byte(i);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
  if (i + length > text.size()) return 0;
  for (std::size_t k = 1; k < length; ++k)
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
  // Overlong forms, surrogates and what lies beyond U+10FFFF.
  if (length > 2) {
    const unsigned char second = byte(i + 1);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second >= 0xa0) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second >= 0x90))
      return 0;
  }
  return length;
}

/// A control character, or a byte that is no UTF-8: no text file of ours holds one.
void check_text(const std::shared_ptr<const SourceText>& source, Errors& errors) {
  const std::string& text = source->text;
  int line = 1, column = 1;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_length(text, i);
    const bool control = c == 0x7f || (c < 0x20 && c != '\n' && c != '\t' && c != '\r');
    if (length == 0 || control)
      return errors.add({source, line, column}, "",
                        control ? "not a text file: it holds a control character"
                                : "not a text file: it holds a byte that is not UTF-8");
    if (c == '\n') ++line, column = 1;
    else column += static_cast<int>(length);
    i += length;
  }
}

}  // namespace

Node parse_yaml(std::string text, std::string name) {
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);  // a byte order mark would shift columns
  const auto source =
      std::make_shared<const SourceText>(SourceText{std::move(name), std::move(text)});
  Errors errors;
  if (source->text.size() > kMaxInputBytes)
    errors.add({source, 0, 0}, "", fmt::format("larger than {} KiB", kMaxInputBytes / 1024));
  else check_text(source, errors);
  errors.throw_if_any();

  Builder builder(source, errors);
  try {
    std::istringstream stream(source->text);
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    if (parser) parser.HandleNextDocument(builder);
  } catch (const LimitReached& limit) {
    errors.add(limit.mark, "", limit.message);
  } catch (const YAML::Exception& e) {
    errors.add({source, e.mark.line + 1, e.mark.column + 1}, "", "not valid YAML: " + e.msg);
  }
  errors.throw_if_any();
  Node root = builder.take();
  if (!root.mark.source) root.mark = {source, 1, 1};
  return root;
}

std::string read_text_file(const std::string& path, std::size_t max_bytes) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (error || !std::filesystem::exists(status)) throw UserError(path + ": no such file");
  if (!std::filesystem::is_regular_file(status)) throw UserError(path + ": expected a file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UserError(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  std::string text(max_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > max_bytes)
    throw UserError(fmt::format("{}: larger than {} KiB", path, max_bytes / 1024));
  return text;
}

Node load_yaml(const std::string& path) { return parse_yaml(read_text_file(path), path); }

}  // namespace kvroof
