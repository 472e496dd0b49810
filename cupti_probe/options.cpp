#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <stdexcept>

#include "cupti_probe/error.hpp"
#include "cupti_probe/verbs.hpp"
#include "model/node.hpp"
#include "model/search_path.hpp"

namespace kvroof::probe {

const kernels::Entry& entry_named(const std::string& name) {
  if (const kernels::Entry* entry = kernels::find_entry(name)) return *entry;
  std::vector<std::string_view> names;
  std::string alike;
  for (const kernels::Entry& entry : kernels::catalogue()) {
    names.push_back(entry.name);
    if (entry.name.find(name) != std::string::npos || name.find(entry.name) != std::string::npos)
      alike += (alike.empty() ? "" : ", ") + entry.name;
  }
  std::string hint = did_you_mean(name, names);
  if (hint.empty() && !alike.empty()) hint = fmt::format(", did you mean one of {}?", alike);
  throw UserError(fmt::format("expected a kernel of the catalogue, got '{}'{} (kvroof-probe list)",
                              name, hint));
}

kernels::Case case_of(const kernels::Entry& entry, const kernels::Args& args) {
  try {
    return entry.make(args);
  } catch (const std::invalid_argument& e) {
    throw UserError(fmt::format("--set: {}, got {}", e.what(), text_of(args)));
  }
}

kernels::Args args_with(const kernels::Entry& entry, const std::vector<std::string>& set) {
  kernels::Args args = entry.shapes.empty() ? kernels::Args{} : entry.shapes.front();
  for (const std::string& pair : set) {
    const std::size_t equals = pair.find('=');
    double value = 0;
    if (equals != std::string::npos && equals > 0) {
      const char *first = pair.data() + equals + 1, *last = pair.data() + pair.size();
      const auto [end, error] = std::from_chars(first, last, value);
      if (error == std::errc{} && end == last && std::isfinite(value)) {
        args[pair.substr(0, equals)] = value;
        continue;
      }
    }
    throw UserError(fmt::format("--set: expected name=number such as s_kv=8192, got '{}'", pair));
  }
  return args;
}

std::string profile_file(const ProfileChoice& choice) {
  return choice.file.empty() ? find_profile(choice.id, search_roots()) : choice.file;
}

void progress(const std::string& what) {
  std::fprintf(stderr, "kvroof-probe: %s …\n", what.c_str());
}

void check_report(const std::string& file) {
  constexpr std::string_view kEndings[] = {".svg", ".png", ".pdf", ".html"};
  const std::string ending = std::filesystem::path(file).extension().string();
  if (!file.empty() &&
      std::find(std::begin(kEndings), std::end(kEndings), ending) == std::end(kEndings))
    throw UserError(
        fmt::format("--report: expected a file that ends in .svg, .png, .pdf or .html, "
                    "got '{}'",
                    file));
}

std::string text_of(const kernels::Args& args) {
  std::string text;
  for (const auto& [key, value] : args)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, value);
  return text;
}

}  // namespace kvroof::probe
