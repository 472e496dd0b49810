// A scene: what a figure shows, as values, before any file format. Panels carry marks in the
// coordinates of their axes; svg() turns a scene into text, tests read it as it is.
#pragma once
#include <deque>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace kvroof::reports {

struct Vec {
  double x = 0, y = 0;
  bool operator==(const Vec&) const = default;
};
struct Rect {  // px, y downwards
  double x = 0, y = 0, w = 0, h = 0;
  double right() const { return x + w; }
  double bottom() const { return y + h; }
};

/// Colours by role. The first seven are Okabe and Ito's (2008), told apart by readers with any
/// common colour vision; series() walks through them. Light and dark values stand in style.cpp.
enum class Ink {
  blue,
  vermillion,
  green,
  purple,
  orange,
  sky,
  grey,
  ink,
  muted,
  grid,
  paper,
  none
};
constexpr Ink series(int i) { return static_cast<Ink>(i % 7); }

/// The second channel beside colour, so that a print in grey can still be read.
enum class Shape { circle, square, triangle, diamond, down, cross };
constexpr Shape shape_of(int i) { return static_cast<Shape>(i % 6); }

enum class Dash { solid, dashed, dotted };
enum class Anchor { start, middle, end };

struct Style {
  Ink fill = Ink::none;
  double opacity = 1;  // of the fill
  Ink stroke = Ink::none;
  double width = 1;
  Dash dash = Dash::solid;
  bool operator==(const Style&) const = default;
};

/// What a mark belongs to; the report's toggles and highlights select by these. Neighbouring marks
/// with equal tags form one group.
struct Tags {
  int tip = -1;         // index into Scene::tips: hover, focus
  int key = -1;         // number in the key
  int gpu = -1;         // which GPU of a comparison
  int batch = -1;       // point of a trajectory
  std::string roof;     // id of a memory level or compute roof
  bool hidden = false;  // drawn only on demand; a plain SVG leaves it out
  bool operator==(const Tags&) const = default;
};

struct Path {
  std::vector<Vec> points;
  bool closed = false;
  Style style;
};
struct Dot {
  Vec at;
  double radius = 4;  // px
  Shape shape = Shape::circle;
  Style style;
};
struct Bar {  // two opposite corners
  Vec from, to;
  Style style;
};
struct Text {
  Vec at;
  Vec shift;  // px, after the axes
  std::string text;
  Anchor anchor = Anchor::start;
  double size = 11;
  bool bold = false;
  Ink ink = Ink::ink;
  double angle = 0;  // degrees, clockwise as in SVG
};
struct Mark {
  std::variant<Path, Dot, Bar, Text> what;
  Tags tags;
};

enum class Scale { linear, log };
struct Tick {
  double at = 0;
  std::string label;  // empty: a line only
};
struct Axis {
  double lo = 0, hi = 1;
  Scale scale = Scale::linear;
  std::string title;
  std::vector<Tick> ticks;
  bool grid = true;
  /// Position of v between 0 (lo) and 1 (hi).
  double at(double v) const;
};

/// An area with axes; without, coordinates are px from its left upper corner.
struct Panel {
  Rect box;
  bool framed = true;
  Axis x, y;
  std::vector<Mark> marks;
  Vec px(Vec data) const;
};

/// What hovering or focusing a mark shows: names and values, then how they came about.
struct Tip {
  std::string name;
  std::vector<std::pair<std::string, std::string>> rows;
  std::string derivation;
};

/// Title: LLM · GPUs · phase · batch · context · dtype. Footer: profile, version, date, and whether
/// numbers are predicted or measured; together they suffice to make the figure again.
struct Caption {
  std::string title, subtitle, footer;
};

/// What a page can switch on and off: GPUs by index (Tags::gpu), roofs by id (Tags::roof).
struct Layers {
  std::vector<std::string> gpus;
  std::vector<std::pair<std::string, std::string>> roofs;  // id, name
};

struct Scene {
  double width = 0, height = 0;
  Caption caption;           // its texts are also marks
  std::deque<Panel> panels;  // references stay valid while panels are added
  std::vector<Tip> tips;
  Layers layers;
};

/// Width in px to lay a figure out for; narrow ones stack what wide ones set side by side.
struct Canvas {
  double width = 940;
  bool narrow() const { return width < 640; }
};

Axis linear_axis(double lo, double hi, std::string title, int intervals = 5);
/// Bounds are widened to 1, 2 or 5 times a power of ten; 2 and 5 are labelled if there is room.
Axis log_axis(double lo, double hi, std::string title, double px);
/// Token counts: powers of two, labelled 4K, 128K, 1M.
Axis token_axis(double lo, double hi, std::string title, double px);

/// Adds a panel of px coordinates that covers the scene: titles, keys, tables.
Panel& add_canvas(Scene& s);
/// Starts a scene with its title and subtitle, wrapped; `height` of it is what they took.
Scene begin(const Caption& c, const Canvas& canvas);
/// Writes the footer under everything and fixes the height.
void finish(Scene& s, double content_bottom);
/// Adds a panel whose plot box leaves room for tick labels and axis titles inside `outer`.
Panel& add_plot(Scene& s, Rect outer, Axis x, Axis y);

int add_tip(Scene& s, Tip tip);
void add(Panel& p, Path m, Tags t = {});
void add(Panel& p, Dot m, Tags t = {});
void add(Panel& p, Bar m, Tags t = {});
void add(Panel& p, Text m, Tags t = {});

}  // namespace kvroof::reports
