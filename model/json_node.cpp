// JSON -> Node through nlohmann's SAX interface; no tree of the library is ever built, so depth and
// size are checked while reading and every node knows its line.
#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "model/hf_config.hpp"
#include "model/yaml.hpp"

namespace kvroof {
namespace {

/// Iterates over the text and tells the handler how far the lexer has read.
struct Cursor {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  const char* at;
  const char** shared;
  reference operator*() const { return *at; }
  Cursor& operator++() { return *shared = ++at, *this; }
  Cursor operator++(int) {
    Cursor old = *this;
    ++*this;
    return old;
  }
  bool operator==(const Cursor& o) const { return at == o.at; }
  bool operator!=(const Cursor& o) const { return at != o.at; }
};

class Handler : public nlohmann::json_sax<nlohmann::json> {
 public:
  Handler(std::shared_ptr<const SourceText> source, Errors& errors)
      : source_(std::move(source)),
        errors_(errors),
        cursor_(source_->text.data()),
        counted_(cursor_) {}

  Cursor begin() { return {source_->text.data(), &cursor_}; }
  Cursor end() { return {source_->text.data() + source_->text.size(), &cursor_}; }
  Node take() { return std::move(root_); }

  bool null() override { return finish(null_node(), 5); }
  bool boolean(bool v) override { return finish(plain_node(v ? "true" : "false"), v ? 4 : 5); }
  bool number_integer(number_integer_t v) override { return number(fmt::format("{}", v)); }
  bool number_unsigned(number_unsigned_t v) override { return number(fmt::format("{}", v)); }
  bool number_float(number_float_t v, const string_t&) override {
    return number(fmt::format("{}", v));
  }
  bool string(string_t& v) override {
    const std::size_t length = v.size() + 2;
    return finish(string_node(std::move(v)), length);
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(map_node()); }
  bool start_array(std::size_t) override { return open(sequence_node()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    Frame& frame = frames_.back();
    const Mark mark = back(name.size() + 2);
    frame.skip = false;
    for (const Node::Key& k : frame.node.keys)
      if (k.name == name) {
        frame.skip = true;
        errors_.add(
            mark, "",
            fmt::format("duplicate key {}, first given in line {}", json_quote(name), k.mark.line));
      }
    frame.key = {std::move(name), mark};
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    std::string text = e.what();
    if (const auto from = text.find(": "); from != std::string::npos) text.erase(0, from + 2);
    // The library quotes the last token in full, which for garbage can be the whole file.
    if (text.size() > 160) text = text.substr(0, 157) + "...";
    for (char& c : text)
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = ' ';
    errors_.add(back(1), "", "not valid JSON: " + text);
    return false;
  }

 private:
  struct Frame {
    Node node;
    bool skip = false;
    Node::Key key;
  };

  bool number(std::string text) {
    const std::size_t length = text.size() + 1;  // the lexer has seen the character after it
    return finish(plain_node(std::move(text)), length);
  }
  /// The place `length` bytes before what the lexer has read.
  Mark back(std::size_t length) {
    const char* begin = source_->text.data();
    const auto read = static_cast<std::size_t>(cursor_ - begin);
    const char* target = begin + (read > length ? read - length : 0);
    for (; counted_ < target; ++counted_)
      if (*counted_ == '\n') ++line_, line_begin_ = counted_ + 1;
    const char* from = line_begin_ ? line_begin_ : begin;
    return {source_, line_, static_cast<int>(target > from ? target - from : 0) + 1};
  }
  bool fail(const std::string& message) {
    errors_.add(back(1), "", message);
    return false;
  }
  bool open(Node n) {
    if (frames_.size() >= static_cast<std::size_t>(kMaxDepth))
      return fail(fmt::format("nested deeper than {} levels", kMaxDepth));
    n.mark = back(1);
    frames_.push_back({std::move(n), false, {}});
    return true;
  }
  bool close() {
    Node n = std::move(frames_.back().node);
    frames_.pop_back();
    return attach(std::move(n));
  }
  bool finish(Node n, std::size_t length) {
    n.mark = back(length);
    return attach(std::move(n));
  }
  bool attach(Node n) {
    if (++nodes_ > kMaxNodes) return fail(fmt::format("more than {} values", kMaxNodes));
    if (frames_.empty()) {
      root_ = std::move(n);
    } else if (Frame& parent = frames_.back(); parent.node.is_sequence()) {
      parent.node.items.push_back(std::move(n));
    } else if (!parent.skip) {
      parent.node.keys.push_back(std::move(parent.key));
      parent.node.items.push_back(std::move(n));
    }
    return true;
  }

  std::shared_ptr<const SourceText> source_;
  Errors& errors_;
  const char* cursor_;
  const char* counted_;
  const char* line_begin_ = nullptr;
  int line_ = 1;
  Node root_;
  std::vector<Frame> frames_;
  std::size_t nodes_ = 0;
};

}  // namespace

Node parse_json(std::string text, std::string name) {
  const auto source =
      std::make_shared<const SourceText>(SourceText{std::move(name), std::move(text)});
  Errors errors;
  if (source->text.size() > kMaxInputBytes)
    errors.add({source, 0, 0}, "", fmt::format("larger than {} KiB", kMaxInputBytes / 1024));
  errors.throw_if_any();
  Handler handler(source, errors);
  nlohmann::json::sax_parse(handler.begin(), handler.end(), &handler);
  errors.throw_if_any();
  Node root = handler.take();
  if (!root.mark.source) root.mark = {source, 1, 1};
  return root;
}

}  // namespace kvroof
