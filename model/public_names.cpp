#include "model/public_names.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace kvroof {
namespace {

/// The first row whose words all occur in the name decides; more special names stand first.
struct Row {
  std::array<std::string_view, 3> words;
  std::string_view id;
};
constexpr Row kRows[] = {
    {{"a100", "pcie", ""}, "a100-pcie-80gb"},
    {{"a100", "40", ""}, "a100-sxm-40gb"},
    {{"a100", "", ""}, "a100-sxm-80gb"},
    {{"h100", "pcie", ""}, "h100-pcie-80gb"},
    {{"h100", "nvl-", ""}, "h100-nvl-94gb"},
    {{"h100", "94", ""}, "h100-nvl-94gb"},
    {{"h100", "", ""}, "h100-sxm-80gb"},
    {{"h200", "nvl-", ""}, "h200-nvl-141gb"},
    {{"gh200", "96", ""}, "gh200-96gb"},
    {{"gh200", "", ""}, "gh200-144gb"},
    {{"h200", "", ""}, "h200-sxm-141gb"},
    {{"gb200", "", ""}, "gb200-186gb"},
    {{"gb300", "", ""}, "gb300-288gb"},
    {{"b200", "", ""}, "b200-sxm-180gb"},
    {{"b300", "", ""}, "b300-sxm-288gb"},
    {{"l40s", "", ""}, "l40s-48gb"},
    {{"4090", "", ""}, "rtx-4090-24gb"},
    {{"rtx", "pro", "6000"}, "rtx-pro-6000-blackwell-96gb"},
};

bool contains(std::string_view name, std::string_view word) {
  const std::size_t at = name.find(word);
  if (at == std::string_view::npos) return false;
  // "h200" must not be found inside "gh200", nor "b200" inside "gb200".
  const bool letter_before = at > 0 && std::isalpha(static_cast<unsigned char>(name[at - 1]));
  return word.empty() || !letter_before || !std::isalpha(static_cast<unsigned char>(word[0]));
}

}  // namespace

std::string hardware_id(std::string_view name) {
  std::string low(name);
  std::transform(low.begin(), low.end(), low.begin(), [](unsigned char c) {
    return static_cast<char>(c == '_' ? '-' : std::tolower(c));
  });
  for (const Row& row : kRows)
    if (std::all_of(row.words.begin(), row.words.end(),
                    [&](std::string_view w) { return w.empty() || contains(low, w); }))
      return std::string(row.id);
  return {};
}

std::vector<std::string> llm_candidates(std::string_view name) {
  std::vector<std::string> out{std::string(name)};
  std::string low(name.substr(name.rfind('/') == std::string_view::npos ? 0 : name.rfind('/') + 1));
  std::transform(low.begin(), low.end(), low.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  out.push_back(low);
  for (bool shorter = true; shorter;) {
    shorter = false;
    for (std::string_view suffix : {"-fp8", "-fp4", "-nvfp4", "-mxfp4", "-awq", "-gptq", "-int4",
                                    "-bf16", "-instruct", "-chat", "-hf", "-it", "-base", "-0528"})
      if (low.size() > suffix.size() && low.ends_with(suffix)) {
        low.resize(low.size() - suffix.size());
        out.push_back(low);
        shorter = true;
      }
  }
  if (low == "deepseek-v3.1") out.emplace_back("deepseek-v3");  // the same shape, trained further
  if (low == "mistral-7b") out.emplace_back("mistral-7b-v0.1");
  return out;
}

}  // namespace kvroof
