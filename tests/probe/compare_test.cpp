// A profile against measured ceilings: planted errors are found,
// and their consequence is arithmetic.
#include "cupti_probe/compare.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "cupti_probe/measured_block.hpp"
#include "model/yaml.hpp"

using namespace kvroof;
using namespace kvroof::probe;

namespace {

constexpr const char* kH200 = KVROOF_SOURCE_DIR "/hw_profiles/h200-sxm-141gb.yaml";

kernels::Ceiling ceiling(const char* name, const char* unit, double median, double clock = 0) {
  return {.name = name,
          .unit = unit,
          .value = {.repeats = 30,
                    .median = median,
                    .p5 = median,
                    .p95 = median,
                    .min = median,
                    .max = median},
          .sm_clock_hz = clock};
}

const ProfileCheck& find(const std::vector<ProfileCheck>& checks, std::string_view key) {
  for (const ProfileCheck& c : checks)
    if (c.key->key == key) return c;
  throw std::runtime_error("no such check");
}

}  // namespace

TEST_CASE("measured figures must agree within tolerance and datasheet peaks bound from above") {
  HardwareProfile p = load_profile(kH200);
  p.measured.hbm_read.value = Bandwidth{4.0e12};
  p.measured.hbm_copy.value.reset();
  p.datasheet.hbm_bandwidth.value = Bandwidth{4.8e12};
  const auto verdicts = [&](double read, double copy) {
    const std::vector<kernels::Ceiling> rows{ceiling("hbm_read", "B/s", read),
                                             ceiling("hbm_copy", "B/s", copy)};
    const auto checks = compare_profile(p, rows);
    return std::pair{find(checks, "hbm_read").verdict, find(checks, "hbm_copy").verdict};
  };
  CHECK(verdicts(4.19e12, 4.1e12) == std::pair{Verdict::ok, Verdict::ok});    // +4.75 %
  CHECK(verdicts(4.21e12, 4.9e12) == std::pair{Verdict::off, Verdict::off});  // +5.25 %, over peak
  CHECK(verdicts(3.79e12, 2.3e12) == std::pair{Verdict::off, Verdict::off});  // under half of peak
}

TEST_CASE("the consequence of a deviation is its inverse in time") {
  HardwareProfile p = load_profile(kH200);
  p.measured.hbm_read.value = Bandwidth{5.0e12};
  p.measured.launch_graph_node.value = Seconds{1.0e-6};
  const std::vector<kernels::Ceiling> rows{ceiling("hbm_read", "B/s", 4.0e12),
                                           ceiling("launch_graph_node", "s", 0.5e-6)};
  const auto checks = compare_profile(p, rows);
  CHECK(find(checks, "hbm_read").consequence ==
        "ops bound by HBM reads (decode) take 25.0 % longer than predicted with this figure");
  CHECK(find(checks, "launch_graph_node").consequence == "steps in a graph: 500 ns less a kernel");
}

TEST_CASE("the best variant counts and cycles become seconds at the clock of their run") {
  const std::vector<kernels::Ceiling> rows{
      ceiling("hbm_read", "B/s", 4.2e12), ceiling("hbm_read", "B/s", 4.5e12),
      ceiling("latency_hbm", "cycle", 660, 1.98e9), ceiling("latency_hbm", "cycle", 594, 1.98e9)};
  const auto key = [](std::string_view name) -> const CeilingKey& {
    for (const CeilingKey& k : ceiling_keys())
      if (k.key == name) return k;
    throw std::runtime_error("no such key");
  };
  CHECK(figure_of(key("hbm_read"), rows)->value == 4.5e12);
  CHECK(figure_of(key("hbm_latency"), rows)->value == doctest::Approx(300e-9));
  CHECK_FALSE(figure_of(key("bf16"), rows).has_value());
  CHECK(profile_text(key("hbm_read"), 4.56789e12) == "4568 GB/s");
  CHECK(profile_text(key("exps_per_second"), 4.17e12) == "4170000000000");
}

TEST_CASE("every key answers a figure of the profile") {
  const HardwareProfile p = load_profile(kH200);
  for (const CeilingKey& key : ceiling_keys()) {
    CAPTURE(key.key);
    const std::string first(key.ceilings.substr(0, key.ceilings.find(' ')));
    // 1 B/s or 1 Hz, far below any rate, or 1 s, far above any time: off by itself.
    const std::vector<kernels::Ceiling> rows{ceiling(first.c_str(), "B/s", 1, 1)};
    const auto checks = compare_profile(p, rows);
    const ProfileCheck& check = find(checks, key.key);
    CHECK(check.profile.has_value());
    CHECK(check.verdict == Verdict::off);
  }
}

TEST_CASE("every key can be written to the bundled profile and read back") {
  std::ifstream in(kH200, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  std::vector<MeasuredLine> lines{{"date", "2026-11-20", ""}};
  for (const CeilingKey& key : ceiling_keys())
    lines.push_back({std::string(key.key), profile_text(key, 1.25e6), "a test"});
  const HardwareProfile p =
      profile_from_node(parse_yaml(with_measured(text, lines, "p.yaml"), "p.yaml"));
  CHECK(p.measured.date == "2026-11-20");
  CHECK(p.measured.hbm_read.value.value().value == 1.25e6);
  CHECK(p.measured.exps_per_second.value.value() == 1.25e6);
  CHECK(p.measured.l2_latency.value.value().value == 1.25e6);
  CHECK(p.datasheet == load_profile(kH200).datasheet);
}
