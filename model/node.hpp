// A parsed text file, YAML or JSON: nodes that know where they stand, and the errors found in them.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kvroof {

/// A file (or a command-line argument) as it was read; kept so that an error can show its line.
struct SourceText {
  std::string name;
  std::string text;
};

/// Without its end of line; lines count from 1, and one that is not there is empty.
std::string source_line(const SourceText& source, int line);

/// A position in a source; line and column count from 1, 0 = the source as a whole.
struct Mark {
  std::shared_ptr<const SourceText> source;
  int line = 0, column = 0;
};

struct Node {
  enum class Kind { null, scalar, sequence, map };
  struct Key {
    std::string name;
    Mark mark;
  };
  Kind kind = Kind::null;
  Mark mark;
  std::string text;         // of a scalar
  bool quoted = false;      // "80" is a string, 80 a number
  std::vector<Key> keys;    // of a map, parallel to items
  std::vector<Node> items;  // of a sequence or a map

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_sequence() const { return kind == Kind::sequence; }
  bool is_map() const { return kind == Kind::map; }
  /// nullptr when this is no map or the key is absent.
  const Node* find(std::string_view key) const;
  Node* find(std::string_view key);
};

Node map_node();
Node sequence_node(std::vector<Node> items = {});
Node string_node(std::string text);
Node plain_node(std::string text);  // number, true, false
Node null_node();
/// Appends key: value and returns the map, so that maps can be written as a chain.
Node& put(Node& map, std::string key, Node value);

/// Two blanks a level; empty containers on one line; keys in their order.
std::string to_json(const Node& node);
/// Block style; strings are quoted where YAML would read them as something else.
std::string to_yaml(const Node& node);
/// Text as a JSON string, quotes included.
std::string json_quote(std::string_view text);

/// All errors of a load, in the order of the file; thrown together as one UserError.
class Errors {
 public:
  /// "file:line:col: path: message", the source line and a caret below it.
  void add(const Mark& mark, std::string_view path, std::string_view message);
  bool empty() const { return found_.empty(); }
  void throw_if_any();

 private:
  struct Found {
    std::string file;
    int line, column;
    std::string message;
  };
  std::vector<Found> found_;
};

/// How a message names what stood there: "2k" in quotes, a mapping, a list, null.
std::string described(const Node& node);

/// Insertions, deletions and substitutions that turn one word into the other.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The known word within two edits (a third of its length for long words), or empty.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known);

/// ", did you mean 'x'?" or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace kvroof
