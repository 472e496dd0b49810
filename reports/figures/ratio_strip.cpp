#include "reports/figures/ratio_strip.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

constexpr double kRow = 25, kHead = 20;

struct Columns {
  double number, dot, name, name_width, share, strip, strip_width, left, value;
};

/// Left to right inside `w` px: number and dot, name, share, then strip and value (or two values).
Columns columns(double w, const std::vector<KeyRow>& rows, const KeyHeads& heads, bool strip,
                bool share) {
  Columns c{};
  double right_width = text_width(heads.right, 10);
  for (const KeyRow& r : rows) right_width = std::max(right_width, text_width(r.right, 11));
  const bool numbers = std::any_of(rows.begin(), rows.end(), [](auto& r) { return r.number > 0; });
  const bool dots = std::any_of(rows.begin(), rows.end(), [](auto& r) { return r.dot; });
  c.number = 14, c.dot = numbers ? 24 : 6, c.name = dots ? c.dot + 10 : numbers ? 24 : 0;
  const double share_width = share ? 46 : 0;
  c.value = w;
  c.left = w - right_width - 14;
  const double rest = w - c.name - share_width - 52;
  c.name_width = std::min(strip ? 0.46 * rest : c.left - 52 - share_width - c.name, 210.);
  c.share = c.name + c.name_width + share_width;
  c.strip = c.share + 16;
  c.strip_width = w - 44 - c.strip;
  return c;
}

Axis ratio_axis(const std::vector<KeyRow>& rows) {
  double lo = 0.85, hi = 1.15;
  for (const KeyRow& r : rows)
    for (const auto& q : r.ratios) {
      lo = std::min({lo, q.median, q.p5 > 0 ? q.p5 : q.median});
      hi = std::max({hi, q.median, q.p95});
    }
  Axis a = linear_axis(std::max(0., lo - 0.02), std::min(hi + 0.02, 4.), "", 3);
  return a;
}

double clamped(const Axis& a, double v) { return std::clamp(v, a.lo, a.hi); }

void add_ratio(Panel& p, const KeyRow::Ratio& q, double y, Tags tags) {
  tags.gpu = q.gpu;
  if (q.p5 > 0 && q.p95 > 0) {
    const double a = clamped(p.x, q.p5), b = clamped(p.x, q.p95);
    add(p, Path{{{a, y}, {b, y}}, false, {.stroke = q.ink, .width = 1.6}}, tags);
    for (const double end : {a, b})
      add(p, Path{{{end, y - 0.16}, {end, y + 0.16}}, false, {.stroke = q.ink, .width = 1.6}},
          tags);
  }
  add(p, Dot{{clamped(p.x, q.median), y}, 4.2, q.shape, {.fill = q.ink, .stroke = Ink::paper}},
      tags);
}

}  // namespace

double add_key(Scene& s, Rect area, const std::vector<KeyRow>& rows, const KeyHeads& heads) {
  const bool strip =
      std::any_of(rows.begin(), rows.end(), [](auto& r) { return !r.ratios.empty(); });
  const bool share = std::any_of(rows.begin(), rows.end(),
                                 [](auto& r) { return r.share > 0 || !r.share_text.empty(); });
  const Columns c = columns(area.w, rows, heads, strip, share);
  const double top = area.y + kHead, bottom = top + kRow * static_cast<double>(rows.size());

  Panel* plot = nullptr;
  if (strip) {
    s.panels.push_back({{area.x + c.strip, top, c.strip_width, bottom - top},
                        true,
                        ratio_axis(rows),
                        Axis{static_cast<double>(rows.size()), 0, Scale::linear, "", {}, false},
                        {}});
    plot = &s.panels.back();
    // 10 % either way: where a prediction counts as right.
    add(*plot, Bar{{std::max(0.9, plot->x.lo), plot->y.lo},
                   {std::min(1.1, plot->x.hi), 0},
                   {.fill = Ink::green, .opacity = 0.13}});
    add(*plot, Path{{{1, plot->y.lo}, {1, 0}}, false, {.stroke = Ink::muted}});
  }

  Panel& page = add_canvas(s);
  const Text head{.size = 10, .ink = Ink::muted};
  const auto write = [&](double x, double y, std::string text, Text form, Tags tags = {}) {
    form.at = {area.x + x, y};
    form.text = std::move(text);
    add(page, form, tags);
  };
  Text right = head;
  right.anchor = Anchor::end;
  if (share) write(c.share, area.y + 12, heads.share, right);
  if (strip) write(c.value, area.y + 12, "measured ÷ predicted", right);
  else {
    write(c.left, area.y + 12, heads.left, right);
    write(c.value, area.y + 12, heads.right, right);
  }

  for (std::size_t i = 0; i < rows.size(); ++i) {
    const KeyRow& r = rows[i];
    const double mid = top + kRow * (static_cast<double>(i) + 0.5), base = mid + 4;
    const Tags tags{.tip = r.tip, .key = r.number > 0 ? r.number : static_cast<int>(i) + 1};
    // A wide, invisible target: the whole row answers to the pointer.
    add(page,
        Bar{{area.x, mid - kRow / 2},
            {area.x + c.share, mid + kRow / 2},
            {.fill = Ink::paper, .opacity = 0.01}},
        tags);
    if (r.number > 0)
      write(c.number, base, fmt::format("{}", r.number),
            {.anchor = Anchor::end, .bold = true, .ink = r.dot ? r.ink : Ink::ink}, tags);
    if (r.dot) add(page, Dot{{area.x + c.dot, mid}, 4.2, r.shape, {.fill = r.ink}}, tags);
    write(c.name, base, ellipsize(r.name, c.name_width), {}, tags);
    if (share) {
      write(c.share, base,
            !r.share_text.empty() ? r.share_text
            : r.share > 0         ? percent(r.share)
                                  : "–",
            {.anchor = Anchor::end}, tags);
      const double x = area.x + c.name;
      if (r.share > 0)
        add(page,
            Bar{{x, mid + 8.5},
                {x + c.name_width * std::min(1., r.share), mid + 10.5},
                {.fill = r.dot ? r.ink : Ink::muted, .opacity = 0.55}},
            tags);
    }
    if (plot != nullptr)
      for (const auto& q : r.ratios) add_ratio(*plot, q, static_cast<double>(i) + 0.5, tags);
    if (strip) {
      if (!r.ratios.empty())
        write(c.value, base, fmt::format("{:.2f}", r.ratios.front().median),
              {.anchor = Anchor::end}, tags);
    } else {
      write(c.left, base, r.left, {.anchor = Anchor::end}, tags);
      write(c.value, base, r.right, {.anchor = Anchor::end}, tags);
    }
  }
  return bottom + (strip ? 22 : 4);
}

Scene scene(const RatioStrip& f, Canvas canvas) {
  Scene s = begin(f.caption, canvas);
  std::vector<KeyRow> rows;
  for (const RatioStrip::Row& r : f.rows) {
    KeyRow k{.name = r.name, .dot = false, .share = r.share};
    std::vector<std::pair<std::string, std::string>> lines{{"predicted", text(r.predicted)}};
    if (r.measured > Seconds{}) {
      const double q = r.measured / r.predicted;
      k.ratios = {{q, r.p5 / r.predicted, r.p95 / r.predicted, Ink::blue}};
      lines.push_back({"measured", text(r.measured)});
      if (r.p5 > Seconds{}) lines.push_back({"p5 – p95", text(r.p5) + " – " + text(r.p95)});
      lines.push_back({"measured ÷ predicted", fmt::format("{:.3f}", q)});
    } else {
      lines.push_back({"measured", "not measured"});
    }
    k.tip = add_tip(s, tip(r.name, std::move(lines), r.details));
    rows.push_back(std::move(k));
  }
  const double bottom = add_key(s, {12, s.height + 4, s.width - 24, 0}, rows, {});
  Panel& page = add_canvas(s);
  add(page, Text{.at = {12, bottom + 12},
                 .text = "shaded: within ±10 % · bars: p5 – p95",
                 .size = 10,
                 .ink = Ink::muted});
  finish(s, bottom + 12);
  return s;
}

DataTable data_table(const RatioStrip& f) {
  DataTable t{f.caption.title,
              {{"op", false},
               {"predicted"},
               {"measured"},
               {"p5"},
               {"p95"},
               {"measured ÷ predicted"},
               {"share"}},
              {}};
  for (const RatioStrip::Row& r : f.rows) {
    const bool known = r.measured > Seconds{};
    const bool spread = r.p5 > Seconds{};
    t.rows.push_back({r.name, text(r.predicted), known ? text(r.measured) : "–",
                      spread ? text(r.p5) : "–", spread ? text(r.p95) : "–",
                      known ? fmt::format("{:.3f}", r.measured / r.predicted) : "–",
                      r.share > 0 ? percent(r.share) : "–"});
  }
  return t;
}

}  // namespace kvroof::reports
