// Figures: golden bytes, well-formed text, labels that do not meet, numbers that equal their input.
// Regenerate the golden files, then read the diff: build/cpu/bin/write_samples tests/reports/golden
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "reports/braille.hpp"
#include "reports/chrome_trace.hpp"
#include "reports/convert.hpp"
#include "reports/html.hpp"
#include "reports/placement.hpp"
#include "reports/svg.hpp"
#include "reports/text.hpp"
#include "tests/reports/samples.hpp"
#include "tests/reports/xml.hpp"

using namespace kvroof;
using namespace kvroof::reports;

namespace {

std::string slurp(const std::filesystem::path& p) {
  std::ifstream in(p, std::ios::binary);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

/// URLs other than the SVG namespace.
int foreign_urls(const std::string& text) {
  int n = 0;
  for (std::size_t at = 0; (at = text.find("//", at)) != std::string::npos; at += 2)
    if (at > 0 && text[at - 1] == ':' && text.compare(at + 2, 18, "www.w3.org/2000/sv") != 0) ++n;
  return n;
}

}  // namespace

TEST_CASE("numbers print the same everywhere") {
  struct Row {
    double v;
    int digits;
    const char* text;
  };
  const Row rows[] = {{0, 3, "0"},
                      {8.391, 3, "8.39"},
                      {9.996, 3, "10.0"},
                      {989.4, 3, "989"},
                      {999.6, 3, "1,000"},
                      {462176, 3, "462,176"},
                      {0.03571, 3, "0.0357"},
                      {-1234567, 3, "-1,234,567"},
                      {0.1, 1, "0.1"}};
  for (const Row& r : rows) CHECK(number(r.v, r.digits) == r.text);
  CHECK(text(Seconds{8.39e-3}) == "8.39 ms");
  CHECK(text(Seconds{0.9999e-3}) == "1.00 ms");
  CHECK(text(Bytes{131072}) == "128 KiB");
  CHECK(text(Bandwidth{4.8e12}) == "4.80 TB/s");
  CHECK(text(Throughput{989e12}) == "989 TFLOP/s");
  CHECK(text(Tokens{131072}) == "128K");
  CHECK(text(Tokens{462176}) == "462,176");
  CHECK(coordinate(-0.01) == "0");
  CHECK(json_string("a\"</script>\n") == "\"a\\\"\\u003c/script>\\n\"");
  CHECK(number(std::nan(""), 3) == "–");
}

TEST_CASE("boxes meet as rectangles do, turned or not") {
  const Box a{{0, 0}, 10, 5, 0};
  CHECK(intersect(a, {{19, 0}, 10, 5, 0}));
  CHECK_FALSE(intersect(a, {{20, 0}, 10, 5, 0}));  // they touch
  CHECK(intersect(a, {{0, 14}, 10, 5, 90}));       // upright it reaches 10 px up
  CHECK_FALSE(intersect(a, {{0, 15.1}, 10, 5, 90}));
  // A square turned by 45 degrees reaches sqrt(2) as far along its corner, less along its side.
  CHECK(intersect(a, {{10 + 5 * 1.41, 0}, 5, 5, 45}));
  CHECK_FALSE(intersect(a, {{10 + 5.2, 5 + 5.2}, 5, 5, 45}));
}

TEST_CASE("golden figures are byte-equal") {
  const std::filesystem::path dir =
      std::filesystem::path(KVROOF_SOURCE_DIR) / "tests/reports/golden";
  for (const auto& [name, s] : samples::all_scenes()) {
    CAPTURE(name);
    const std::string golden = slurp(dir / (name + ".svg"));
    REQUIRE_FALSE(golden.empty());
    CHECK((svg(s) == golden));  // in brackets: no 20 KB of text on failure
  }
}

TEST_CASE("figures are well-formed, self-contained and their labels keep apart") {
  for (const auto& [name, s] : samples::all_scenes()) {
    CAPTURE(name);
    const std::string text = svg(s);
    CHECK(xml_error(text) == "");
    CHECK(foreign_urls(text) == 0);
    const std::vector<LabelBox> labels = label_boxes(s);
    CHECK(labels.size() > 5);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      CAPTURE(labels[i].text);
      CHECK(inside(labels[i].box, {0, 0, s.width, s.height}));
      for (std::size_t k = 0; k < i; ++k) {
        CAPTURE(labels[k].text);
        CHECK_FALSE(intersect(labels[i].box, labels[k].box));
      }
    }
  }
}

TEST_CASE("the XML checker sees what is wrong") {
  CHECK(xml_error("<a b=\"1\"><c/>x &amp; y</a>") == "");
  for (const char* bad : {"<a>", "<a></b>", "<a b=1/>", "<a b=\"1\" b=\"2\"/>", "<a>&</a>",
                          "<a/><b/>", "<a>x>y</a>", "text"})
    CHECK(xml_error(bad) != "");
}

TEST_CASE("a point is drawn where its numbers say") {
  Roofline f = samples::decode_roofline();
  const Scene s = scene(f);
  const Panel& plot =
      *std::find_if(s.panels.begin(), s.panels.end(), [](auto& p) { return p.framed; });
  const std::string text = svg(s);
  // Point 1, attention, is a circle: find its group and turn its pixels back into numbers.
  const std::regex circles(
      "data-t=\"0\"[^>]*>[\\s\\S]*?<circle cx=\"([\\d.]+)\" cy=\"([\\d.]+)\"[^>]*/><circle "
      "cx=\"([\\d.]+)\" cy=\"([\\d.]+)\"");
  std::smatch m;
  REQUIRE(std::regex_search(text, m, circles));
  const Vec predicted = px_to_data(plot, {std::stod(m[1]), std::stod(m[2])});
  const Vec measured = px_to_data(plot, {std::stod(m[3]), std::stod(m[4])});
  const auto& p = f.points[0];
  // A tenth of a pixel on this plot is 0.2 %.
  CHECK(predicted.x == doctest::Approx(p.intensity.value).epsilon(0.002));
  CHECK(predicted.y == doctest::Approx(p.predicted.value / tera).epsilon(0.002));
  CHECK(measured.y == doctest::Approx(p.measured.value / tera).epsilon(0.002));
}

TEST_CASE("tip, key and table of a point show the same number") {
  // 36.5 GFLOP / 9.14 GB = 3.993 FLOP/B; at 4.28 TB/s 17.09 TFLOP/s, 1.06 times slower 16.12.
  const Roofline f = samples::decode_roofline();
  const Scene s = scene(f);
  const Tip& tip = s.tips[0];
  CHECK(tip.name == "1 attention");
  using Row = std::pair<std::string, std::string>;
  CHECK(std::find(tip.rows.begin(), tip.rows.end(), Row{"FLOP per HBM byte", "3.99"}) !=
        tip.rows.end());
  CHECK(std::find(tip.rows.begin(), tip.rows.end(), Row{"predicted", "17.1 TFLOP/s"}) !=
        tip.rows.end());
  CHECK(std::find(tip.rows.begin(), tip.rows.end(), Row{"measured", "16.1 TFLOP/s"}) !=
        tip.rows.end());
  CHECK(data_table(f).rows[0] ==
        std::vector<std::string>{"1", "attention", "3.99", "17.1", "16.1", "38 %"});
  CHECK(ridge(f.gpus[0]).value == doctest::Approx(754. / 4.28));
}

TEST_CASE("crossings, fronts and accuracy by hand") {
  // 128 KiB a token: 56 GiB hold 458,752 tokens, 16 requests of 28,672.
  const KvContext::Curve line{
      "",
      {{Tokens{1024}, Bytes{16 * 1024 * 131072.}}, {Tokens{65536}, Bytes{16 * 65536 * 131072.}}}};
  CHECK(crossing(line, Bytes{56 * gibi}).value == doctest::Approx(28672));
  CHECK(crossing(line, Bytes{gibi}).value == 0);
  const std::vector<Pareto::At> at{{TokenRate{10}, TokenRate{100}},
                                   {TokenRate{20}, TokenRate{90}},
                                   {TokenRate{15}, TokenRate{80}},
                                   {TokenRate{20}, TokenRate{50}},
                                   {TokenRate{30}, TokenRate{10}}};
  CHECK(frontier(at) == std::vector<std::size_t>{0, 1, 4});
  // Errors +10 %, -20 %, 0, +30 %: MAPE 15 %, median 15 %, bias +5 %.
  const Accuracy a = accuracy({{110, 100}, {80, 100}, {5, 5}, {1.3, 1}, {0, 7}});
  CHECK(a.rows == 4);
  CHECK(a.mape == doctest::Approx(0.15));
  CHECK(a.median_ape == doctest::Approx(0.15));
  CHECK(a.bias == doctest::Approx(0.05));
  CHECK(a.within_20 == doctest::Approx(0.75));
}

TEST_CASE("the report is small, closed and well-formed") {
  const std::string page = html(samples::report());
  CHECK(page.size() < 300'000);
  CHECK(xml_error(page) == "");
  CHECK(foreign_urls(page) == 0);
  CHECK(page.find(" src=") == std::string::npos);
  CHECK(page.find("@import") == std::string::npos);
  CHECK(page.find("&lt;not&gt; a prediction &amp; not") != std::string::npos);
  CHECK(page.find("\\u003c/script> stays inside") != std::string::npos);
  CHECK((html(samples::report()) == page));
}

TEST_CASE("a plot of 1,000 points renders in under 20 ms") {
  const Validation f = samples::validation(334);
  double best = 1;
  for (int i = 0; i < 7; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const std::string text = svg(scene(f));
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    CHECK(text.size() > 50'000);
  }
  MESSAGE(fmt::format("1,002 points: {:.2f} ms", 1e3 * best));
  CHECK(best < 0.020);
}

TEST_CASE("the terminal roofline has its size and its numbers") {
  const std::string plot = terminal_roofline(samples::predicted_roofline());
  CHECK(std::count(plot.begin(), plot.end(), '\n') == 2 + 15 + 3);
  CHECK(plot.find("1 attention") != std::string::npos);
  CHECK(plot.find("\xE2\xA0") != std::string::npos);
  const std::string ascii = terminal_roofline(samples::predicted_roofline(), {.utf8 = false});
  CHECK(ascii.find("\xE2\xA0") == std::string::npos);
  CHECK(ascii.find('*') != std::string::npos);
}

TEST_CASE("trace events carry microseconds, rows and arguments") {
  const std::string t = chrome_trace(
      {"step",
       {"GPU 0"},
       {{"attention", 0, "compute", Seconds{1e-3}, Seconds{2.5e-6}, {{"bound", "HBM"}}}},
       {{"KV blocks", 0, Seconds{0}, 12}}});
  CHECK(t.find(R"({"ph":"M","name":"process_name","pid":0,"args":{"name":"GPU 0"}})") !=
        std::string::npos);
  CHECK(
      t.find(
          R"({"ph":"X","name":"attention","pid":0,"tid":1,"ts":1000.000,"dur":2.500,"args":{"bound":"HBM"}})") !=
      std::string::npos);
  CHECK(t.find(R"({"ph":"C","name":"KV blocks","pid":0,"ts":0.000,"args":{"value":12}})") !=
        std::string::npos);
}

TEST_CASE("a figure is saved by its ending") {
  const Scene s = scene(samples::memory());
  const Saved odd = save_figure(s, "x.gif");
  CHECK(odd.exit_code == 2);
  CHECK(odd.message == "x.gif: expected .svg, .png or .pdf");
  const auto file = std::filesystem::temp_directory_path() / "kvroof_figure_test.pdf";
  const Saved pdf = save_figure(s, file);
  if (pdf.exit_code == 0) CHECK(slurp(file).starts_with("%PDF"));
  else CHECK(pdf.message.find("install librsvg2-bin, or write .svg") != std::string::npos);
  std::filesystem::remove(file);
}
