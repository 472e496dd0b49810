#include "reports/scene.hpp"

#include <algorithm>

#include "reports/axes.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

constexpr double kMargin = 12;

/// Writes wrapped lines into the last panel; returns the baseline after them.
double write(Panel& p, const std::string& s, double y, double width, const Text& form) {
  for (const std::string& line : wrap(s, width, form.size, form.bold)) {
    Text t = form;
    t.at = {kMargin, y};
    t.text = line;
    add(p, t);
    y += form.size * 1.35;
  }
  return y;
}

}  // namespace

Vec Panel::px(Vec d) const {
  if (!framed) return {box.x + d.x, box.y + d.y};
  return {box.x + box.w * x.at(d.x), box.bottom() - box.h * y.at(d.y)};
}

Panel& add_canvas(Scene& s) {
  s.panels.push_back({.framed = false});
  return s.panels.back();
}

Scene begin(const Caption& c, const Canvas& canvas) {
  Scene s{.width = canvas.width, .height = 0, .caption = c};
  Panel& p = add_canvas(s);
  double y = kMargin + 14;
  y = write(p, c.title, y, canvas.width - 2 * kMargin,
            {.size = canvas.narrow() ? 13. : 15., .bold = true});
  y = write(p, c.subtitle, y, canvas.width - 2 * kMargin, {.size = 11, .ink = Ink::muted});
  s.height = y;
  return s;
}

void finish(Scene& s, double content_bottom) {
  Panel& p = add_canvas(s);
  const double y = write(p, s.caption.footer, content_bottom + 18, s.width - 2 * kMargin,
                         {.size = 9.5, .ink = Ink::muted});
  s.height = s.caption.footer.empty() ? content_bottom + kMargin : y;
}

Panel& add_plot(Scene& s, Rect outer, Axis x, Axis y) {
  double widest = 0;
  for (const Tick& t : y.ticks) widest = std::max(widest, text_width(t.label, kTickSize));
  const double left = widest + 8, top = y.title.empty() ? 6 : 24;
  const double bottom = x.title.empty() ? 22 : 40;
  // The last tick label is centred under the right edge and may stand out by half of its width.
  const double right = x.ticks.empty() ? 4 : text_width(x.ticks.back().label, kTickSize) / 2 + 2;
  s.panels.push_back(
      {{outer.x + left, outer.y + top, outer.w - left - right, outer.h - top - bottom},
       true,
       std::move(x),
       std::move(y),
       {}});
  return s.panels.back();
}

int add_tip(Scene& s, Tip tip) {
  s.tips.push_back(std::move(tip));
  return static_cast<int>(s.tips.size()) - 1;
}

void add(Panel& p, Path m, Tags t) { p.marks.push_back({std::move(m), std::move(t)}); }
void add(Panel& p, Dot m, Tags t) { p.marks.push_back({m, std::move(t)}); }
void add(Panel& p, Bar m, Tags t) { p.marks.push_back({m, std::move(t)}); }
void add(Panel& p, Text m, Tags t) { p.marks.push_back({std::move(m), std::move(t)}); }

}  // namespace kvroof::reports
