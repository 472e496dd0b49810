// The one renderer: a scene as SVG text. Same scene, same bytes.
#pragma once
#include <string>

#include "reports/scene.hpp"

namespace kvroof::reports {

struct SvgOptions {
  /// Inside an HTML page: no style of its own (the page carries svg_style() once), hidden marks
  /// included so that a toggle can show them.
  bool inside_page = false;
  /// Tips as <title>: without JavaScript the pointer still gets an answer. A page needs them in one
  /// of its two layouts.
  bool titles = true;
};

/// Groups carry data-t (tip), data-k (key), data-g (GPU), data-b (batch), data-r (roof); every tip
/// is also a <title>, so a plain SVG in a browser answers to hovering without any script.
std::string svg(const Scene& s, SvgOptions options = {});

/// Class rules for inks, dark and light, and print. Each colour is written twice, plain and as a
/// CSS variable: renderers without variables (librsvg) keep the plain one.
std::string svg_style();
/// Sizes other than 11 px that have a class z1, z2, …; 0 for 11 px, -1 for the rest.
int size_class(double size);

}  // namespace kvroof::reports
