#include <fmt/core.h>

#include <charconv>
#include <cmath>

#include "cupti_probe/error.hpp"
#include "cupti_probe/verbs.hpp"
#include "model/search_path.hpp"

namespace kvroof::probe {

const kernels::Entry& entry_named(const std::string& name) {
  if (const kernels::Entry* entry = kernels::find_entry(name)) return *entry;
  std::string close;
  for (const kernels::Entry& entry : kernels::catalogue())
    if (entry.name.find(name) != std::string::npos || name.find(entry.name) != std::string::npos)
      close += (close.empty() ? "" : ", ") + entry.name;
  throw UserError(fmt::format(
      "expected a kernel of the catalogue, got '{}'{}", name,
      close.empty() ? " (see kvroof-probe list)" : fmt::format(" — did you mean {}?", close)));
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

std::string text_of(const kernels::Args& args) {
  std::string text;
  for (const auto& [key, value] : args)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, value);
  return text;
}

}  // namespace kvroof::probe
