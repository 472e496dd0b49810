// The one renderer: a scene as SVG text. Same scene, same bytes.
#pragma once
#include <string>

#include "reports/scene.hpp"

namespace kvroof::reports {

struct SvgOptions {
  /// Inside an HTML page: no style of its own (the page carries svg_style() once), hidden marks
  /// included so that a toggle can show them.
  bool inside_page = false;
};

/// Groups carry data-t (tip), data-k (key), data-g (GPU), data-b (batch), data-r (roof); every tip
/// is also a <title>, so a plain SVG in a browser answers to hovering without any script.
std::string svg(const Scene& s, SvgOptions options = {});

/// Class rules for inks, dark and light, and print. Each colour is written twice, plain and as a
/// CSS variable: renderers without variables (librsvg) keep the plain one.
std::string svg_style();

}  // namespace kvroof::reports
