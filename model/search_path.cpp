#include "model/search_path.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "model/node.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

namespace kvroof {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kProfiles = "hw_profiles", kLlms = "scenarios/llms";

std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(by), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool is_file(const fs::path& p) {
  std::error_code ignored;
  return fs::is_regular_file(p, ignored);
}
bool on_disk(const fs::path& p) {
  std::error_code ignored;
  return fs::exists(p, ignored);
}

std::vector<std::string> ids_in(std::string_view folder, const std::vector<std::string>& roots) {
  std::vector<std::string> ids;
  for (const std::string& root : roots) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(fs::path(root) / folder, error))
      if (entry.path().extension() == ".yaml" && entry.path().stem() != "template")
        ids.push_back(entry.path().stem().string());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

/// Letters, digits and the two marks that ids have: no way out of the folder.
bool plausible_id(std::string_view s) {
  return !s.empty() && s.size() <= 100 && s.front() != '.' &&
         std::all_of(s.begin(), s.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '-' || c == '_';
         });
}

std::optional<std::string> bundled(std::string_view folder, const std::string& id,
                                   const std::vector<std::string>& roots) {
  if (!plausible_id(id)) return {};
  for (const std::string& root : roots)
    if (const fs::path p = fs::path(root) / folder / (id + ".yaml"); is_file(p)) return p.string();
  return {};
}

std::optional<std::string> as_path(const std::string& name, const std::string& base) {
  if (name.find('\0') != std::string::npos || name.size() > 4000) return {};
  if (!base.empty() && fs::path(name).is_relative())
    if (const fs::path p = fs::path(base) / name; on_disk(p)) return p.string();
  if (on_disk(name)) return name;
  return {};
}

std::string lower(std::string s) {
  for (char& c : s)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return s;
}

/// The bundled file that lists a Hugging Face repository; hub names do not depend on case.
std::optional<std::string> by_repository(const std::string& repository,
                                         const std::vector<std::string>& roots) {
  const std::string wanted = lower(repository);
  for (const std::string& id : llm_ids(roots)) {
    const std::string file = *bundled(kLlms, id, roots);
    // A look at the text first: parsing forty files would cost milliseconds.
    const std::string text = lower(read_text_file(file));
    if (text.find(wanted) == std::string::npos) continue;
    const Node root = parse_yaml(read_text_file(file), file);
    if (const Node* list = root.find("huggingface"))
      for (const Node& n : list->items)
        if (lower(n.text) == wanted) return file;
  }
  return {};
}

/// The parts of an id or of what was typed for it: "H200 SXM" -> h200, sxm.
std::vector<std::string> parts(std::string_view text) {
  std::vector<std::string> all(1);
  for (const char c : lower(std::string(text))) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.';
    if (letter) all.back() += c;
    else if (!all.back().empty()) all.emplace_back();
  }
  if (all.back().empty()) all.pop_back();
  return all;
}

/// Ids of which each word is a part, or else begins one:
/// h200 is part of h200-sxm-141gb, and not of gh200-96gb.
std::vector<std::string> meant(const std::vector<std::string>& words,
                               const std::vector<std::string>& ids) {
  const auto having = [&](auto&& is_word) {
    std::vector<std::string> found;
    for (const std::string& id : ids) {
      const std::vector<std::string> of_id = parts(id);
      if (std::all_of(words.begin(), words.end(), [&](const std::string& w) {
            return std::any_of(of_id.begin(), of_id.end(),
                               [&](const std::string& part) { return is_word(part, w); });
          }))
        found.push_back(id);
    }
    return found;
  };
  if (words.empty()) return {};
  const auto whole = having([](const auto& part, const auto& w) { return part == w; });
  if (!whole.empty()) return whole;
  return having([](const auto& part, const auto& w) { return part.starts_with(w); });
}

std::string suggestion(const std::string& typed, const std::vector<std::string>& ids) {
  constexpr std::size_t kMost = 8;
  const std::vector<std::string> found = meant(parts(typed), ids);
  if (found.empty() || found.size() > kMost) return did_you_mean(typed, {ids.begin(), ids.end()});
  return fmt::format(", did you mean '{}'?", fmt::join(found, "' or '"));
}

[[noreturn]] void refuse(std::string_view what, const std::string& name,
                         const std::vector<std::string>& ids, std::string_view hint) {
  const std::string known = suggestion(lower(name.substr(name.find_last_of('/') + 1)), ids);
  throw UserError(fmt::format("{} {} is neither a known id nor a file{} {}", what, json_quote(name),
                              known.empty() ? "." : known, hint));
}

}  // namespace

std::vector<std::string> search_roots(const std::vector<std::string>& extra) {
  std::vector<std::string> roots = extra;
  const auto add_list = [&](const char* value) {
    if (value)
      for (std::string& s : split(value, ':')) roots.push_back(std::move(s));
  };
  add_list(std::getenv("KVROOF_PATH"));
  if (const char* home = std::getenv("XDG_DATA_HOME"))
    roots.push_back(std::string(home) + "/kvroof");
  else if (const char* h = std::getenv("HOME"))
    roots.push_back(std::string(h) + "/.local/share/kvroof");
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) roots.push_back((program.parent_path().parent_path() / "share" / "kvroof").string());
  roots.emplace_back(KVROOF_DATA_DIR);
  std::erase_if(roots, [](const std::string& r) { return !on_disk(r); });
  return roots;
}

bool looks_like_path(const std::string& name) {
  const std::string ext = fs::path(name).extension().string();
  return ext == ".yaml" || ext == ".yml" || ext == ".json" ||
         (name.find('/') != std::string::npos && on_disk(name));
}

std::string find_profile(const std::string& name, const std::vector<std::string>& roots,
                         const std::string& base) {
  if (const auto file = bundled(kProfiles, name, roots)) return *file;
  if (const auto file = as_path(name, base); file && looks_like_path(*file)) return *file;
  refuse("hardware", name, profile_ids(roots), "List them with: kvroof profiles");
}

std::string find_llm(const std::string& name, const std::vector<std::string>& roots,
                     const std::string& base) {
  if (const auto file = bundled(kLlms, name, roots)) return *file;
  if (const auto file = as_path(name, base)) return *file;
  if (name.find('/') != std::string::npos)
    if (const auto file = by_repository(name, roots)) return *file;
  refuse("model", name, llm_ids(roots),
         "Give the path of its config.json, or list the bundled ones with: kvroof models");
}

LlmConfig load_llm(const std::string& name, const std::vector<std::string>& roots,
                   const LlmOptions& options, const std::string& base) {
  return load_llm_file(find_llm(name, roots, base), options);
}

std::vector<std::string> profile_ids(const std::vector<std::string>& roots) {
  return ids_in(kProfiles, roots);
}
std::vector<std::string> llm_ids(const std::vector<std::string>& roots) {
  return ids_in(kLlms, roots);
}

}  // namespace kvroof
