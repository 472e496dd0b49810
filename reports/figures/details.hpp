// Shared by all figures: what the caller may add to a point, and small drawing helpers.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reports/data_table.hpp"
#include "reports/placement.hpp"
#include "reports/scene.hpp"

namespace kvroof::reports {

/// Shown on hover and focus below the numbers a figure adds by itself.
struct Details {
  std::vector<std::pair<std::string, std::string>> rows;  // "HBM bytes", "9.14 GB"
  std::string derivation;                                 // "9.14 GB / (4.8 TB/s x 0.89)"
};

Tip tip(std::string name, std::vector<std::pair<std::string, std::string>> rows, const Details& d);

/// Cut with an ellipsis so that it fits `width` px.
std::string ellipsize(std::string_view s, double width, double size = 11);

/// Dot and name of each series in a row (wrapped) from (x, y); returns the baseline after the last.
struct SeriesName {
  std::string name;
  Ink ink = Ink::ink;
  Shape shape = Shape::circle;
  int gpu = -1;  // tag, for the toggles of the page
};
double add_series_key(Panel& canvas, const std::vector<SeriesName>& names, double x, double y,
                      double width);

/// Label candidates around a px point: right, left, above, below, then further out.
struct Spot {
  Vec shift;
  Anchor anchor;
  double distance;  // from the point; a leader line helps beyond about 16
};
const std::vector<Spot>& spots_around();

/// The first free spot for `t` around its data point, with a leader line drawn if that is far away;
/// nothing if there is none. `clear` is the radius of the dot it names.
std::optional<Text> find_spot(Panel& p, Placer& placer, const Text& t, const Tags& tags,
                              double clear);
/// Places `t` (at its data point) at the first free spot, and says whether it found one.
bool add_label(Panel& p, Placer& placer, Text t, Tags tags, double clear = 4);

/// Candidates along a straight px line, `offset` px off it (negative: above), turned with it.
bool add_label_along(Panel& p, Placer& placer, Text t, Vec from_px, Vec to_px,
                     const std::vector<double>& offsets, const std::vector<double>& positions,
                     Tags tags, bool cross_lines = true);

Vec px_to_data(const Panel& p, Vec px);
}  // namespace kvroof::reports
