#include "tests/inputs/mutation.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

namespace kvroof {
namespace {

constexpr std::string_view kTokens[] = {".inf",
                                        "-.inf",
                                        ".nan",
                                        "1e308",
                                        "1e-400",
                                        "1e999",
                                        "-1",
                                        "0",
                                        "-0",
                                        "0x10",
                                        "010",
                                        "0o17",
                                        "1_000",
                                        "99999999999999999999",
                                        "9223372036854775807",
                                        "2147483648",
                                        "1.5",
                                        "null",
                                        "~",
                                        "yes",
                                        "true",
                                        "{}",
                                        "[]",
                                        "[[]]",
                                        "{a: 1}",
                                        "&a ",
                                        "*a",
                                        "<<: *a\n",
                                        "!!str ",
                                        "|\n",
                                        ">-\n",
                                        "---\n",
                                        "...\n",
                                        "? ",
                                        "- ",
                                        ": ",
                                        "#",
                                        "\"",
                                        "'",
                                        "\\",
                                        "\t",
                                        "\r\n",
                                        "%YAML 1.1\n",
                                        "80 GiB",
                                        "80",
                                        "3.35 TB/s",
                                        "989 TFLOP/s",
                                        "1 us",
                                        "2k",
                                        "auto",
                                        "schema:",
                                        "extends: x\n",
                                        "sweep: {a: [1]}\n",
                                        "--",
                                        "=",
                                        "$(x)",
                                        ";",
                                        "\xef\xbb\xbf",
                                        "\xff",
                                        "\xc3\xa9",
                                        "\xe2\x82",
                                        "\x01",
                                        "\\u0000",
                                        "{\"a\":",
                                        "[1,",
                                        ",",
                                        "}",
                                        "]"};

/// Bounds of the line that holds the position, its end of line included.
std::pair<std::size_t, std::size_t> line_at(const std::string& s, std::size_t at) {
  const std::size_t before = at == 0 ? std::string::npos : s.rfind('\n', at - 1);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  const std::size_t end = s.find('\n', at);
  return {begin, end == std::string::npos ? s.size() : end + 1};
}

}  // namespace

void mutate(std::string& s, Random& r, const std::vector<std::string>& seeds) {
  const std::size_t at = r.below(s.size() + 1);
  const std::string_view token = kTokens[r.below(std::size(kTokens))];
  const auto [begin, end] = line_at(s, at);
  switch (r.below(14)) {
    case 0:  // a byte becomes another
      if (at < s.size()) s[at] = static_cast<char>(r.next());
      return;
    case 1:
      s.insert(at, 1, static_cast<char>(r.next()));
      return;
    case 2:
      s.erase(at, 1 + r.below(8));
      return;
    case 3:
      s.insert(at, token);
      return;
    case 4: {  // the word at the position becomes a token
      const std::size_t from = std::min(s.find_first_of(" :,{[\"", at), s.size());
      const std::size_t to = std::min(s.find_first_of(" ,}]\"\n", from + 1), s.size());
      s.replace(from, to - from, " " + std::string(token));
      return;
    }
    case 5:
      s.erase(begin, end - begin);
      return;
    case 6:
      s.insert(end, s.substr(begin, end - begin));
      return;
    case 7: {  // two lines change places
      const auto [b2, e2] = line_at(s, r.below(s.size() + 1));
      if (b2 < end) return;
      const std::string first = s.substr(begin, end - begin), second = s.substr(b2, e2 - b2);
      s.replace(b2, e2 - b2, first);
      s.replace(begin, end - begin, second);
      return;
    }
    case 8:
      s.resize(at);
      return;
    case 9:  // indentation
      if (r.below(2)) s.insert(begin, 1 + r.below(4), ' ');
      else if (begin < s.size() && s[begin] == ' ') s.erase(begin, 1);
      return;
    case 10: {  // a piece of another seed
      const std::string& other = seeds[r.below(seeds.size())];
      const std::size_t from = r.below(other.size());
      s.insert(at, other.substr(from, r.below(200)));
      return;
    }
    case 11: {  // a digit
      const std::size_t digit = s.find_first_of("0123456789", at);
      if (digit != std::string::npos) s[digit] = static_cast<char>('0' + r.below(10));
      return;
    }
    case 12: {  // deep nesting
      const std::string_view open = r.below(2) ? "[" : "{a: ";
      std::string deep;
      for (std::size_t i = r.below(3000); i > 0; --i) deep += open;
      s.insert(at, deep);
      return;
    }
    default: {  // aliases of aliases
      std::string bomb = "\nz0: &z0 [x, x, x, x, x, x, x, x, x]\n";
      for (std::size_t i = 1; i <= r.below(12); ++i)
        bomb += fmt::format("z{0}: &z{0} [*z{1}, *z{1}, *z{1}, *z{1}, *z{1}, *z{1}]\n", i, i - 1);
      s.insert(end, bomb);
    }
  }
}

}  // namespace kvroof
