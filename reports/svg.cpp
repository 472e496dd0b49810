#include "reports/svg.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numbers>
#include <set>

#include "reports/axes.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

class Writer {
 public:
  explicit Writer(SvgOptions options) : options_(options) {}

  std::string run(const Scene& s) {
    out_.reserve(4096);
    put("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
        "height=\"{1}\" fill=\"none\" role=\"group\" aria-label=\"{2}\">",
        coordinate(s.width), coordinate(s.height), xml_escape(s.caption.title));
    if (!options_.inside_page)
      put("<title>{}</title><style>{}</style><rect class=\"f10\" width=\"100%\" height=\"100%\"/>",
          xml_escape(s.caption.title), svg_style());
    for (const Panel& p : s.panels) panel(s, p);
    out_ += "</svg>\n";
    return std::move(out_);
  }

 private:
  template <class... A>
  void put(fmt::format_string<A...> form, A&&... args) {
    fmt::format_to(std::back_inserter(out_), form, std::forward<A>(args)...);
  }

  void panel(const Scene& s, const Panel& p) {
    if (p.framed) axes(p);
    for (std::size_t i = 0; i < p.marks.size();) {
      const Tags& tags = p.marks[i].tags;
      std::size_t end = i + 1;
      while (end < p.marks.size() && p.marks[end].tags == tags) ++end;
      if (!tags.hidden || options_.inside_page) {
        const bool grouped = !(tags == Tags{});
        if (grouped) open(s, tags);
        for (std::size_t k = i; k < end; ++k)
          std::visit([&](const auto& m) { draw(p, m); }, p.marks[k].what);
        if (grouped) out_ += "</g>";
      }
      i = end;
    }
  }

  void open(const Scene& s, const Tags& t) {
    out_ += "<g";
    std::string classes = t.tip >= 0 ? "p" : "";
    if (t.hidden) classes += classes.empty() ? "off" : " off";
    if (!classes.empty()) put(" class=\"{}\"", classes);
    if (t.key >= 0) put(" data-k=\"{}\"", t.key);
    if (t.gpu >= 0) put(" data-g=\"{}\"", t.gpu);
    if (t.batch >= 0) put(" data-b=\"{}\"", t.batch);
    if (!t.roof.empty()) put(" data-r=\"{}\"", xml_escape(t.roof));
    if (t.tip < 0) {
      out_ += '>';
      return;
    }
    const Tip& tip = s.tips[static_cast<std::size_t>(t.tip)];
    put(" data-t=\"{}\">", t.tip);
    if (!options_.titles || !titled_.insert(t.tip).second) return;
    put("<title>{}", xml_escape(tip.name));
    // Beside a page's table the first number does.
    std::size_t left = options_.inside_page ? 1 : tip.rows.size();
    for (const auto& [name, value] : tip.rows)
      if (left-- > 0) put("\n{}: {}", xml_escape(name), xml_escape(value));
      else break;
    out_ += "</title>";
  }

  void axes(const Panel& p) {
    std::string grid;
    if (p.x.grid)
      for (const Tick& t : p.x.ticks)
        grid += fmt::format("M{} {}v{}", coordinate(p.px({t.at, p.y.lo}).x), coordinate(p.box.y),
                            coordinate(p.box.h));
    if (p.y.grid)
      for (const Tick& t : p.y.ticks)
        grid += fmt::format("M{} {}h{}", coordinate(p.box.x), coordinate(p.px({p.x.lo, t.at}).y),
                            coordinate(p.box.w));
    if (!grid.empty()) put("<path class=\"k9\" d=\"{}\"/>", grid);
    put("<path class=\"k8\" d=\"M{} {}h{}\"/>", coordinate(p.box.x), coordinate(p.box.bottom()),
        coordinate(p.box.w));
    const Panel page{.framed = false};
    for (const Text& t : axis_texts(p)) draw(page, t);
  }

  void style(const Style& s) {
    if (s.fill != Ink::none || s.stroke != Ink::none) {
      out_ += " class=\"";
      if (s.fill != Ink::none) put("f{}", static_cast<int>(s.fill));
      if (s.stroke != Ink::none)
        put("{}k{}", s.fill != Ink::none ? " " : "", static_cast<int>(s.stroke));
      out_ += '"';
    }
    if (s.fill != Ink::none && s.opacity < 1) put(" fill-opacity=\"{}\"", number(s.opacity, 2));
    if (s.stroke != Ink::none && s.width != 1) put(" stroke-width=\"{}\"", coordinate(s.width));
    if (s.dash == Dash::dashed) out_ += " stroke-dasharray=\"5 3\"";
    if (s.dash == Dash::dotted) out_ += " stroke-dasharray=\"1.5 2.5\"";
    out_ += "/>";
  }

  void polygon(const std::vector<Vec>& px, bool closed, const Style& s) {
    if (px.empty()) return;
    out_ += "<path d=\"";
    for (std::size_t i = 0; i < px.size(); ++i)
      put("{}{} {}", i == 0 ? 'M' : 'L', coordinate(px[i].x), coordinate(px[i].y));
    out_ += closed ? "Z\"" : "\"";
    style(s);
  }

  /// Small shapes by steps from corner to corner: half the bytes.
  void outline(const std::vector<Vec>& px, const Style& s) {
    const auto tenth = [](double v) { return std::round(10 * v) / 10; };
    Vec at{tenth(px[0].x), tenth(px[0].y)};
    put("<path d=\"M{} {}l", coordinate(at.x), coordinate(at.y));
    for (std::size_t i = 1; i < px.size(); ++i) {
      const Vec to{tenth(px[i].x), tenth(px[i].y)};
      put("{}{} {}", i == 1 ? "" : " ", coordinate(to.x - at.x), coordinate(to.y - at.y));
      at = to;
    }
    out_ += "z\"";
    style(s);
  }

  void draw(const Panel& p, const Path& m) {
    std::vector<Vec> px;
    px.reserve(m.points.size());
    for (const Vec& v : m.points) px.push_back(p.px(v));
    polygon(px, m.closed, m.style);
  }

  /// All shapes have about the area of the circle of that radius.
  void draw(const Panel& p, const Dot& m) {
    const Vec c = p.px(m.at);
    const double r = m.radius;
    const auto ring = [&](int n, double radius, double turn) {
      std::vector<Vec> out;
      for (int i = 0; i < n; ++i) {
        const double a = turn + 2 * std::numbers::pi * i / n;
        out.push_back({c.x + radius * std::sin(a), c.y - radius * std::cos(a)});
      }
      return out;
    };
    switch (m.shape) {
      case Shape::circle:
        put("<circle cx=\"{}\" cy=\"{}\" r=\"{}\"", coordinate(c.x), coordinate(c.y),
            coordinate(r));
        style(m.style);
        break;
      case Shape::square:
        outline(ring(4, 1.25 * r, std::numbers::pi / 4), m.style);
        break;
      case Shape::triangle:
        outline(ring(3, 1.45 * r, 0), m.style);
        break;
      case Shape::diamond:
        outline(ring(4, 1.3 * r, 0), m.style);
        break;
      case Shape::down:
        outline(ring(3, 1.45 * r, std::numbers::pi), m.style);
        break;
      case Shape::cross: {
        const double a = 1.1 * r, b = 0.4 * r;
        std::vector<Vec> plus;
        for (const Vec d : std::array<Vec, 12>{{{-b, -a},
                                                {b, -a},
                                                {b, -b},
                                                {a, -b},
                                                {a, b},
                                                {b, b},
                                                {b, a},
                                                {-b, a},
                                                {-b, b},
                                                {-a, b},
                                                {-a, -b},
                                                {-b, -b}}})
          plus.push_back({c.x + d.x, c.y + d.y});
        outline(plus, m.style);
      }
    }
  }

  void draw(const Panel& p, const Bar& m) {
    const Vec a = p.px(m.from), b = p.px(m.to);
    put("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", coordinate(std::min(a.x, b.x)),
        coordinate(std::min(a.y, b.y)), coordinate(std::abs(a.x - b.x)),
        coordinate(std::abs(a.y - b.y)));
    style(m.style);
  }

  void draw(const Panel& p, const Text& t) {
    if (t.text.empty()) return;
    const Vec at = p.px(t.at);
    const Vec xy{at.x + t.shift.x, at.y + t.shift.y};
    const int size = size_class(t.size);
    put("<text class=\"t{}{}{}{}{}\"", static_cast<int>(t.ink), t.bold ? " b" : "",
        t.anchor == Anchor::middle ? " m"
        : t.anchor == Anchor::end  ? " e"
                                   : "",
        p.framed && t.ink != Ink::paper ? " h" : "", size > 0 ? fmt::format(" z{}", size) : "");
    if (t.angle == 0) put(" x=\"{}\" y=\"{}\"", coordinate(xy.x), coordinate(xy.y));
    else
      put(" transform=\"translate({} {}) rotate({})\"", coordinate(xy.x), coordinate(xy.y),
          coordinate(t.angle));
    if (size < 0) put(" style=\"font-size:{}px\"", coordinate(t.size));
    put(">{}</text>", xml_escape(t.text));
  }

  SvgOptions options_;
  std::set<int> titled_;  // a tip is told once, at its first mark
  std::string out_;
};

}  // namespace

std::string svg(const Scene& s, SvgOptions options) { return Writer(options).run(s); }

}  // namespace kvroof::reports
