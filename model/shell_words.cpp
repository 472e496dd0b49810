#include "model/shell_words.hpp"

#include <fmt/format.h>

#include "model/user_error.hpp"

namespace kvroof {

std::vector<std::string> shell_words(std::string_view s, std::string_view where) {
  std::vector<std::string> words;
  std::string word;
  bool open_word = false;  // '' is a word too
  const auto put = [&](char c) { word += c, open_word = true; };
  const auto end_word = [&] {
    if (open_word) words.push_back(std::move(word));
    word.clear();
    open_word = false;
  };
  for (std::size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    const char next = i + 1 < s.size() ? s[i + 1] : '\0';
    if (c == '\\') {
      if (next == '\r' && i + 2 < s.size() && s[i + 2] == '\n') i += 2;
      else if (next != '\n' && i + 1 < s.size()) put(next), ++i;
      else ++i;  // a line continuation, or the end
    } else if (c == '\'' || c == '"') {
      open_word = true;
      const std::size_t open = i;
      for (++i; i < s.size() && s[i] != c; ++i) {
        if (c == '"' && s[i] == '\\' && i + 1 < s.size() &&
            std::string_view("\"\\$`\n").find(s[i + 1]) != std::string_view::npos) {
          if (s[++i] != '\n') put(s[i]);
        } else {
          put(s[i]);
        }
      }
      if (i >= s.size())
        throw UserError(
            fmt::format("{}: character {}: the quote {} is never closed", where, open + 1, c));
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      end_word();
    } else if (c == '#' && !open_word) {
      while (i + 1 < s.size() && s[i + 1] != '\n') ++i;
    } else if (std::string_view(";|&<>").find(c) != std::string_view::npos) {
      throw UserError(fmt::format(
          "{}: character {}: expected one command, got the shell operator {}", where, i + 1, c));
    } else {
      put(c);
    }
  }
  end_word();
  return words;
}

}  // namespace kvroof
