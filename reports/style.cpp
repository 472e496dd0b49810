#include <fmt/format.h>

#include <iterator>

#include "reports/svg.hpp"

namespace kvroof::reports {
namespace {

/// mark: light background. text: darker, so that letters reach a contrast of 4.5 on white.
/// dark: both, on a dark background.
struct Colour {
  const char *mark, *text, *dark;
};
constexpr Colour kColours[] = {
    {"#0072b2", "#00609a", "#4aa3e3"},  // blue
    {"#d55e00", "#a84a00", "#f08a48"},  // vermillion
    {"#009e73", "#00704f", "#2ec49a"},  // green
    {"#cc79a7", "#96447a", "#e6a3c8"},  // purple
    {"#e69f00", "#805a00", "#f2b632"},  // orange
    {"#56b4e9", "#1f6fa3", "#a5dbf9"},  // sky
    {"#808080", "#5c5c5c", "#a0a0a0"},  // grey
    {"#1a1a1a", "#1a1a1a", "#ececec"},  // ink
    {"#5c5c5c", "#5c5c5c", "#adadad"},  // muted
    {"#e4e4e4", "#e4e4e4", "#343a40"},  // grid
    {"#ffffff", "#ffffff", "#16191c"},  // paper
};

constexpr double kSizes[] = {9.5, 10, 10.5, 13, 15};

std::string dark_variables() {
  std::string out;
  for (std::size_t i = 0; i < std::size(kColours); ++i)
    out += fmt::format("--c{0}:{1};--t{0}:{1};", i, kColours[i].dark);
  return out;
}

}  // namespace

int size_class(double size) {
  if (size == 11) return 0;
  for (std::size_t i = 0; i < std::size(kSizes); ++i)
    if (kSizes[i] == size) return static_cast<int>(i) + 1;
  return -1;
}

std::string svg_style() {
  std::string out =
      "svg text{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:11px}"
      "svg .b{font-weight:700}svg .m{text-anchor:middle}svg .e{text-anchor:end}"
      "svg .h{stroke:#fff;stroke:var(--c10,#fff);stroke-width:3px;stroke-linejoin:round;"
      "paint-order:stroke}svg .off{display:none}";
  for (std::size_t i = 0; i < std::size(kColours); ++i)
    out += fmt::format(
        "svg .f{0}{{fill:{1};fill:var(--c{0},{1})}}svg .k{0}{{stroke:{1};stroke:var(--c{0},{1})}}"
        "svg .t{0}{{fill:{2};fill:var(--t{0},{2})}}",
        i, kColours[i].mark, kColours[i].text);
  for (std::size_t i = 0; i < std::size(kSizes); ++i)
    out += fmt::format("svg .z{}{{font-size:{}px}}", i + 1, kSizes[i]);
  const std::string dark = dark_variables();
  out += fmt::format(
      "@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{0}}}}}"
      "@media screen{{:root[data-theme=dark]{{{0}}}}}",
      dark);
  return out;
}

}  // namespace kvroof::reports
