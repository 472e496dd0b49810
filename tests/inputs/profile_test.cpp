// Bundled hardware profiles: every one loads, prints to what it reads, and gives a machine whose
// peaks are those of the public datasheets.
#include "model/profile.hpp"

#include <doctest/doctest.h>

#include "model/profile_fields.hpp"
#include "model/search_path.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

using namespace kvroof;

namespace {
HardwareProfile profile(const std::string& id) {
  return load_profile(find_profile(id, search_roots()));
}
}  // namespace

TEST_CASE("every bundled profile loads, becomes a machine and survives print and parse") {
  const std::vector<std::string> ids = profile_ids();
  CHECK(ids.size() >= 15);
  for (const std::string& id : ids) {
    CAPTURE(id);
    const HardwareProfile p = profile(id);
    CHECK(p.id == id);
    const Machine m = to_machine(p);
    CHECK(m.roof(MathType::bf16).achieved <= m.roof(MathType::bf16).peak);
    CHECK(m.hbm.achieved < m.hbm.peak);
    CHECK(m.l2_effective < p.datasheet.l2.value.value_or(Bytes{1e9}));
    CHECK(m.launch.graph_node > Seconds{});
    for (const ClassFit& f : m.fit) CHECK(f.spread > 0);
    const HardwareProfile again = profile_from_node(parse_yaml(print_profile(p), "printed"));
    CHECK(again.datasheet == p.datasheet);
    CHECK(again.measured == p.measured);
    CHECK(again.power == p.power);
    CHECK(again.fitted == p.fitted);
    CHECK(again.host == p.host);
    CHECK(again.assumed == p.assumed);
    CHECK(again.rates == p.rates);
  }
}

TEST_CASE("dense peaks of the datasheets") {
  struct Row {
    const char* id;
    double bf16_tflops, fp8_tflops, hbm_tb_s, nvlink_gb_s;
    int sms;
  };
  const Row rows[] = {{"a100-sxm-80gb", 312, 0, 2.039, 300, 108},
                      {"h100-sxm-80gb", 989.4, 1978.9, 3.35, 450, 132},
                      {"h200-sxm-141gb", 989.4, 1978.9, 4.8, 450, 132},
                      {"b200-sxm-180gb", 2250, 4500, 8, 900, 148}};
  for (const Row& r : rows) {
    CAPTURE(r.id);
    const Machine m = to_machine(profile(r.id));
    CHECK(m.roof(MathType::bf16).peak.value == doctest::Approx(r.bf16_tflops * 1e12));
    CHECK(m.roof(MathType::fp8).peak.value == doctest::Approx(r.fp8_tflops * 1e12));
    CHECK(m.hbm.peak.value == doctest::Approx(r.hbm_tb_s * 1e12));
    CHECK(m.nvlink.bandwidth.value == doctest::Approx(r.nvlink_gb_s * 1e9));
    CHECK(m.num_sms == r.sms);
  }
}

TEST_CASE(
    "tensor peak = SMs x FLOP per SM and clock x clock, where the datasheet gives all three") {
  // Dense BF16 FLOP per SM and clock: A100 2048, H100/H200 4096, B200 8192,
  // Ada AD102 512 with FP32 sums
  struct Row {
    const char* id;
    double flop_per_sm_clock;
  };
  for (const Row& r :
       {Row{"a100-sxm-80gb", 2048}, Row{"h100-sxm-80gb", 4096}, Row{"h200-sxm-141gb", 4096},
        Row{"b200-sxm-180gb", 8192}, Row{"gb200-186gb", 8192}, Row{"rtx-4090-24gb", 512},
        Row{"rtx-pro-6000-blackwell-96gb", 1024}}) {
    CAPTURE(r.id);
    const Machine m = to_machine(profile(r.id));
    CHECK(m.roof(MathType::bf16).peak.value ==
          doctest::Approx(r.flop_per_sm_clock * m.num_sms * m.sm_clock.value).epsilon(0.002));
  }
}

namespace {
/// Names the fields of the table that a mapping leaves out.
struct Missing {
  const Node& node;
  std::string path, found = {};
  template <class M>
  void operator()(std::string_view key, M& member, const Field&) {
    const Node* n = node.find(key);
    if (!n) {
      found += path + std::string(key) + " ";
    } else if constexpr (HasFields<M>) {
      Missing inner{*n, path + std::string(key) + "."};
      fields(inner, member);
      found += inner.found;
    }
  }
};
}  // namespace

TEST_CASE("the template loads, names every field, and is no profile") {
  const std::string file = std::string(KVROOF_SOURCE_DIR) + "/hw_profiles/template.yaml";
  HardwareProfile p = load_profile(file);
  CHECK_FALSE(p.datasheet.bf16.known());
  const Node root = load_yaml(file);
  Missing missing{root, ""};
  fields(missing, p);
  CHECK(missing.found == "");
  for (const std::string& id : profile_ids()) CHECK(id != "template");
  CHECK_THROWS_WITH_AS(to_machine(p), doctest::Contains("template.yaml: datasheet.num_sms is null"),
                       UserError);
}

TEST_CASE("a figure that is needed and null is named with its file") {
  HardwareProfile p = profile("h100-sxm-80gb");
  p.datasheet.hbm_bandwidth.value.reset();
  CHECK_THROWS_WITH_AS(to_machine(p),
                       doctest::Contains("h100-sxm-80gb.yaml: datasheet.hbm_bandwidth is null"),
                       UserError);
  p = profile("h100-sxm-80gb");
  p.fitted.gemm.compute.reset();
  CHECK_THROWS_WITH_AS(to_machine(p), doctest::Contains("fitted.gemm.compute is null"), UserError);
  CHECK_THROWS_WITH_AS(require_math(profile("b300-sxm-288gb"), MathType::int8),
                       doctest::Contains("b300-sxm-288gb.yaml: datasheet.int8 is null"), UserError);
}

TEST_CASE("figures of another part are assumptions, and the machine says so") {
  const auto gemm = [](const char* id) { return to_machine(profile(id)).fit_of(OpClass::gemm); };
  CHECK(gemm("h100-sxm-80gb").source == Source::fitted);
  for (const char* id :
       {"h100-nvl-94gb", "h100-pcie-80gb", "gh200-144gb", "b300-sxm-288gb", "h200-nvl-141gb"}) {
    CAPTURE(id);
    CHECK(gemm(id).source == Source::assumed);
  }
  CHECK(to_machine(profile("h100-sxm-80gb")).nvlink.source == Source::fitted);
  CHECK(to_machine(profile("h100-nvl-94gb")).nvlink.source == Source::assumed);
  CHECK(to_machine(profile("rtx-pro-6000-blackwell-96gb"), RoofKind::datasheet)
            .roof(MathType::bf16)
            .source == Source::assumed);
}

TEST_CASE("part of a name is answered with the ids that it can mean") {
  const auto refusal = [](const std::string& name) -> std::string {
    try {
      find_profile(name, search_roots());
    } catch (const UserError& e) {
      return e.what();
    }
    return "";
  };
  CHECK(refusal("H200") ==
        "hardware \"H200\" is neither a known id nor a file, did you mean 'h200-nvl-141gb' or "
        "'h200-sxm-141gb'? List them with: kvroof profiles");
  CHECK(refusal("H100 SXM").find("did you mean 'h100-sxm-80gb'?") != std::string::npos);
  CHECK(refusal("h100-sxm-8gb").find("did you mean 'h100-sxm-80gb'?") != std::string::npos);
  CHECK(refusal("tpu").find("nor a file. List them") != std::string::npos);
}
