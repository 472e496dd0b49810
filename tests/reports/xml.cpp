#include "tests/reports/xml.hpp"

#include <cctype>
#include <set>
#include <vector>

namespace kvroof::reports {
namespace {

bool name_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == ':';
}

bool entities_fine(std::string_view s) {
  for (std::size_t at = 0; (at = s.find('&', at)) != std::string_view::npos; ++at) {
    bool known = false;
    for (const std::string_view e : {"&amp;", "&lt;", "&gt;", "&quot;"})
      known |= s.substr(at).starts_with(e);
    if (!known) return false;
  }
  return true;
}

}  // namespace

std::string xml_error(std::string_view text) {
  std::vector<std::string> open;
  std::size_t at = 0;
  const auto fail = [&](const std::string& what) {
    return what + " at byte " + std::to_string(at) + ": " + std::string(text.substr(at, 60));
  };
  if (text.starts_with("<!DOCTYPE html>")) at = 15;
  bool rooted = false;
  while (at < text.size()) {
    if (text[at] != '<') {
      const std::size_t end = std::min(text.find('<', at), text.size());
      const std::string_view run = text.substr(at, end - at);
      if (!entities_fine(run) || run.find('>') != std::string_view::npos)
        return fail("unescaped text");
      if (open.empty() && run.find_first_not_of(" \n") != std::string_view::npos)
        return fail("text outside the root");
      at = end;
      continue;
    }
    if (text.substr(at).starts_with("</")) {
      const std::size_t end = text.find('>', at);
      if (end == std::string_view::npos) return fail("unfinished tag");
      if (open.empty() || text.substr(at + 2, end - at - 2) != open.back())
        return fail("wrong end tag");
      open.pop_back();
      at = end + 1;
      continue;
    }
    std::size_t i = at + 1;
    while (i < text.size() && name_char(text[i])) ++i;
    const std::string name(text.substr(at + 1, i - at - 1));
    if (name.empty()) return fail("bad tag");
    if (open.empty() && rooted) return fail("second root");
    rooted = true;
    std::set<std::string> attributes;
    while (i < text.size() && text[i] == ' ') {
      std::size_t eq = ++i;
      while (eq < text.size() && name_char(text[eq])) ++eq;
      const std::string attribute(text.substr(i, eq - i));
      if (attribute.empty() || !text.substr(eq).starts_with("=\""))
        return fail("attribute without a quoted value");
      const std::size_t quote = text.find('"', eq + 2);
      if (quote == std::string_view::npos) return fail("unfinished attribute");
      const std::string_view value = text.substr(eq + 2, quote - eq - 2);
      if (!entities_fine(value) || value.find('<') != std::string_view::npos)
        return fail("unescaped attribute");
      if (!attributes.insert(attribute).second) return fail("attribute twice: " + attribute);
      i = quote + 1;
    }
    if (text.substr(i).starts_with("/>")) at = i + 2;
    else if (i < text.size() && text[i] == '>') {
      open.push_back(name);
      at = i + 1;
      if (name == "style" || name == "script") {
        at = text.find("</" + name + ">", at);
        if (at == std::string_view::npos) return "unfinished " + name;
      }
    } else {
      return fail("bad tag");
    }
  }
  return open.empty() ? "" : "not closed: " + open.back();
}

}  // namespace kvroof::reports
