// Where labels may stand: boxes of text at any angle, whether two meet, and a placer that picks the
// cheapest of several places.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "reports/scene.hpp"

namespace kvroof::reports {

/// A rectangle turned about its centre; px and degrees clockwise.
struct Box {
  Vec centre;
  double half_w = 0, half_h = 0, angle = 0;
};
Box box(Rect r);
/// The drawn extent of a text mark: advance width by ascent plus descent.
Box text_box(const Panel& p, const Text& t);
/// Separating-axis test; boxes that only touch do not intersect.
bool intersect(const Box& a, const Box& b);
bool inside(const Box& b, Rect r);

struct LabelBox {
  std::string text;
  Box box;
  Tags tags;
};
/// All texts of a scene, tick labels and axis titles included, as drawn.
std::vector<LabelBox> label_boxes(const Scene& s);

/// Places labels one after another. Hard obstacles are never covered; soft ones (lines) only if
/// nothing else is left.
class Placer {
 public:
  explicit Placer(Rect bounds) : bounds_(bounds) {}
  void block(Box b) { hard_.push_back(b); }
  void avoid(Box b) { soft_.push_back(b); }
  void avoid_line(Vec from, Vec to);  // px
  /// Index of the first candidate with the lowest cost, its box blocked from now on; nothing if all
  /// of them cover something (or, without `cross_lines`, touch a line).
  std::optional<std::size_t> place(const std::vector<Box>& candidates, bool cross_lines = true);

 private:
  Rect bounds_;
  std::vector<Box> hard_, soft_;
};

}  // namespace kvroof::reports
