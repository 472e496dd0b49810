#include "reports/figures/memory_map.hpp"

#include <algorithm>

#include "reports/figures/bars.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

std::vector<std::string> part_names(const MemoryMap& f) {
  std::vector<std::string> names;
  for (const auto& r : f.rows)
    for (const auto& p : r.parts)
      if (std::find(names.begin(), names.end(), p.name) == names.end()) names.push_back(p.name);
  return names;
}
Bytes used(const MemoryMap::Row& r) {
  Bytes sum;
  for (const auto& p : r.parts) sum += p.bytes;
  return sum;
}

}  // namespace

Scene scene(const MemoryMap& f, Canvas canvas) {
  Scene s = begin(f.caption, canvas);
  const std::vector<std::string> names = part_names(f);
  Bars b{.rows = {},
         .heads = {"used", "capacity"},
         .axis_title = "memory of one GPU  [GiB]",
         .max = 0,
         .height = 24};
  bool limits = false;
  for (const auto& r : f.rows) {
    b.max = std::max({b.max, r.capacity.value / gibi, used(r).value / gibi});
    BarRow row{.name = r.name, .values = {text(used(r)), text(r.capacity)}};
    row.segments.push_back({0, r.capacity.value / gibi, {.stroke = Ink::muted}, "", -1, 0});
    double at = 0;
    for (const auto& p : r.parts) {
      const auto i = std::find(names.begin(), names.end(), p.name) - names.begin();
      const int id =
          add_tip(s, tip(r.name + " · " + p.name,
                         {{"size", text(p.bytes)}, {"of capacity", percent(p.bytes / r.capacity)}},
                         p.details));
      const double to = at + p.bytes.value / gibi;
      row.segments.push_back({at,
                              to,
                              {.fill = series(static_cast<int>(i)), .opacity = 0.45},
                              p.name + " " + text(p.bytes),
                              id,
                              0.5});
      at = to;
    }
    if (r.limit > Bytes{})
      row.marks.push_back({r.limit.value / gibi, Ink::ink, true}), limits = true;
    b.rows.push_back(std::move(row));
  }
  std::vector<SeriesName> key;
  for (std::size_t i = 0; i < names.size(); ++i)
    key.push_back({names[i], series(static_cast<int>(i)), Shape::square});
  const double y = add_series_key(add_canvas(s), key, 12, s.height + 12, s.width - 24);
  double bottom = add_bars(s, {12, y + 8, s.width - 24, 0}, b);
  if (limits)
    for (const std::string& line :
         wrap("thick line: what the engine may use · outline: capacity", s.width - 24, 10))
      add(add_canvas(s),
          Text{.at = {12, bottom += 14}, .text = line, .size = 10, .ink = Ink::muted});
  finish(s, bottom);
  return s;
}

DataTable data_table(const MemoryMap& f) {
  DataTable t{f.caption.title, {{"", false}, {"part", false}, {"size"}, {"of capacity"}}, {}};
  for (const auto& r : f.rows) {
    for (const auto& p : r.parts)
      t.rows.push_back({r.name, p.name, text(p.bytes), percent(p.bytes / r.capacity)});
    if (r.limit > Bytes{})
      t.rows.push_back({r.name, "engine's limit", text(r.limit), percent(r.limit / r.capacity)});
    t.rows.push_back({r.name, "capacity", text(r.capacity), "100 %"});
  }
  return t;
}

}  // namespace kvroof::reports
