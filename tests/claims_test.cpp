// Claims against hand arithmetic: the figure beside each line is worked out from public shapes and
// datasheets, and the verdict is what that arithmetic says of the sentence.
#include "model/claims.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "model/claim_quantities.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

using namespace kvroof;
using namespace kvroof::claims;
using doctest::Approx;

namespace {

const std::map<int, Claim>& bundled() {
  static const std::map<int, Claim> all = [] {
    std::map<int, Claim> by_id;
    for (const std::string& file : claim_files({KVROOF_SOURCE_DIR})) {
      Claim c = load_claim(file);
      by_id.emplace(c.id, std::move(c));
    }
    return by_id;
  }();
  return all;
}

/// The computed figure of a row, in base units.
double figure(int id, const std::string& what, std::size_t reading = 0) {
  for (const Judged& row : judge(bundled().at(id)).rows)
    if (row.what == what) return row.readings.at(reading).value.value;
  FAIL("claim " << id << " has no figure '" << what << "'");
  return 0;
}

std::string verdict(int id) {
  const Judgement j = judge(bundled().at(id));
  return text(j.verdict, j.factor);
}

constexpr const char* kSmall = R"(schema: kvroof/claim/v1
id: 900
claim: c
source: s
stated:
  - {what: x, value: STATED}
compute:
  - {what: x, quantity: ratio, value: 10 x, to: 2 x}
why: w
)";

Judgement judged(std::string stated, const std::string& extra = "") {
  std::string text = kSmall;
  text.replace(text.find("STATED"), 6, stated);
  return judge(claim_from_node(parse_yaml(text + extra, "claim.yaml")));
}

}  // namespace

TEST_CASE("every claim file loads; numbers are unique and start the file's name") {
  const std::vector<std::string> files = claim_files({KVROOF_SOURCE_DIR});
  CHECK(files.size() == bundled().size());
  CHECK(bundled().size() >= 22);
  for (const auto& [id, claim] : bundled()) {
    CAPTURE(claim.name);
    CHECK(std::stoi(claim.name.substr(0, 2)) == id);
    CHECK(claim.stated.size() >= 1);
    for (const Judged& row : judge(claim).rows)
      for (const Judged::Reading& r : row.readings) CHECK(std::isfinite(r.value.value));
  }
}

TEST_CASE("KV bytes of the claims, by hand") {
  CHECK(figure(2, "cache of one request") == 2684354560);        // 8192·80·2·8·128·2
  CHECK(figure(3, "cache of eight requests") == 335544320000.);  // 128000·327680·8
  CHECK(figure(3, "with 131072 tokens") == 343597383680.);
  CHECK(figure(6, "cache of the batch") == 128 * gibi);  // 32·8192·32·2·32·128·2 = 2^37
  CHECK(figure(6, "batch 4") == 16 * gibi);
  CHECK(figure(6, "8 K/V heads") == 32 * gibi);
  CHECK(figure(13, "a head of a layer") == 64 * mebi);  // 131072·2·128·2
  CHECK(figure(13, "cache of one request") == 40 * gibi);
  CHECK(figure(13, "time to read it") == Approx(12.8e-3).epsilon(0.003));  // 42.95/3.35
  CHECK(figure(13, "share of the step") == Approx(0.236).epsilon(0.002));  // 42.95/(42.95+139.0)
  CHECK(figure(13, "step on eight GPUs") == Approx(6.79e-3).epsilon(0.002));
  CHECK(figure(21, "scores of one head") == 2 * gibi);
  CHECK(figure(21, "scores of a layer", 0) == 64 * gibi);
  CHECK(figure(21, "scores of a layer", 1) == 128 * gibi);
  CHECK(figure(34, "cache") == 1.125 * gibi);  // 512·64·2·72·128·2
  CHECK(figure(27, "a token in a layer") == 4096);
}

TEST_CASE("70B on H100 and H200: reads, capacity, what a node holds") {
  // 70,553,706,496 parameters; without the 128,256 x 8,192 embedding 139.006 GB are read.
  CHECK(figure(1, "time of a token", 0) == Approx(0.0418).epsilon(0.001));
  CHECK(figure(1, "time of a token", 1) == Approx(139.006e9 / 3.35e12).epsilon(1e-5));
  CHECK(figure(1, "floor on two GPUs") == Approx(20.7e-3).epsilon(0.003));
  CHECK(figure(1, "floor on eight GPUs") == Approx(5.19e-3).epsilon(0.002));
  CHECK(figure(1, "floor on one H200") == Approx(29.0e-3).epsilon(0.002));
  CHECK(figure(15, "weights") == 2 * 70553706496.);
  // (0.9·640 - 141.1) GB = 434.9 GB over 10.74, 42.95 and 163.84 GB a request.
  CHECK(figure(15, "requests of 32K") == 40);
  CHECK(figure(15, "requests of 128K", 0) == 10);
  CHECK(figure(15, "requests of 128K", 1) == 20);
  CHECK(figure(15, "requests of 500K") == 2);
  CHECK(figure(15, "cache of 16 at 500K") == Approx(2621e9).epsilon(2e-4));
  CHECK(figure(15, "step at 32K") == Approx(11.6e-3).epsilon(0.002));
  CHECK(figure(15, "step at 128K") == Approx(30.8e-3).epsilon(0.002));
  CHECK(figure(16, "weights of a GPU") == Approx(17.64e9).epsilon(5e-4));
  CHECK(figure(16, "left for KV", 1) == Approx(54.4e9).epsilon(1e-3));  // 72 - 17.64
  CHECK(figure(16, "cache of a token and GPU") == 40960);               // 327680/8
  CHECK(figure(16, "cache of a token and GPU at TP16") == 40960);       // one head, stored twice
  CHECK(figure(30, "output rate") == Approx(272).epsilon(0.002));       // 4·4.8e12/70.55e9
  CHECK(figure(29, "prefill") == Approx(0.140).epsilon(0.01));  // 2·68.45e9·2000/1978.9e12
}

TEST_CASE("hardware figures of the claims, by hand") {
  CHECK(figure(4, "BF16 peak") == 989.4e12);
  CHECK(figure(4, "BF16 ridge") == Approx(295.3).epsilon(1e-3));  // 989.4/3.35
  CHECK(figure(4, "FP8 ridge") == Approx(590.7).epsilon(1e-3));
  CHECK(figure(5, "more bandwidth") == Approx(0.433).epsilon(1e-3));  // 4.8/3.35 - 1
  CHECK(figure(5, "more memory") == Approx(0.7625));
  CHECK(figure(7, "corner of BF16 data") == Approx(200.6).epsilon(1e-3));        // 312/1.555
  CHECK(figure(7, "corner of the roofline", 0) == Approx(12.54).epsilon(1e-3));  // 19.5/1.555
  CHECK(figure(7, "corner of the roofline", 1) == Approx(100.3).epsilon(1e-3));
  CHECK(figure(22, "shared memory") == Approx(19.49e12).epsilon(1e-3));  // 108·128·1.41e9
  CHECK(figure(22, "ratio") == Approx(9.56).epsilon(1e-3));
  CHECK(figure(22, "ratio of the 40 GB part") == Approx(12.5).epsilon(3e-3));
  CHECK(figure(31, "per GPU") == Approx(12864).epsilon(1e-4));
}

TEST_CASE("attention figures of the claims, by hand") {
  // N = 2048, d = 64, fp32: 4·N² elements of scores; Q, K, V, O add 4·N·d.
  CHECK(figure(7, "naive passes over the scores") == 67108864);
  CHECK(figure(7, "naive intensity") == Approx(15.5).epsilon(2e-3));  // 4N²d/(66 MiB)
  // Blocks of 64: Q and O once, K and V in each of 32 row blocks: 66·N·d·4 B = 33 MiB, and 8 KiB
  // of row statistics.
  CHECK(figure(7, "flash bytes with blocks of 64") == Approx(33 * mebi).epsilon(1e-3));
  CHECK(figure(7, "flash bytes that reach HBM") == Approx(2 * mebi).epsilon(5e-3));
  CHECK(figure(7, "naive at the FP32 peak") == Approx(55e-6).epsilon(2e-3));  // 1.0737e9/19.5e12
  // d 64, N 1024, 1024 heads, three key blocks of 384: 1.50 GB forward, 2.56 GB backward, with the
  // statistics in fp32 a little more.
  CHECK(figure(9, "flash bytes") == Approx(4.06e9).epsilon(0.015));
  CHECK(figure(9, "fewer bytes") == Approx(9.16).epsilon(1e-3));
  CHECK(figure(9, "faster") == Approx(5.71).epsilon(1e-3));
  CHECK(figure(10, "smaller cache", 0) == Approx(32768. / 576));
  CHECK(figure(10, "smaller cache", 1) == Approx(24.9).epsilon(2e-3));
  CHECK(figure(10, "smaller cache", 2) == Approx(2048. / 576));
  CHECK(figure(17, "NVFP4 over FP8") == 0.5625);
  CHECK(figure(17, "16-bit over INT8", 0) == 2);
  CHECK(figure(17, "16-bit over INT8", 1) == Approx(1.94).epsilon(1e-3));
  CHECK(figure(18, "FA3") == Approx(0.748).epsilon(1e-3));
  CHECK(figure(18, "naive", 0) == Approx(0.14).epsilon(5e-3));
  CHECK(figure(18, "FA4") == Approx(0.717).epsilon(1e-3));
  CHECK(figure(19, "faster attention at best", 0) == Approx(35.7).epsilon(1e-3));
  CHECK(figure(19, "faster attention at best", 1) == Approx(20.7).epsilon(2e-3));
  CHECK(figure(28, "intensity") == Approx(1).epsilon(1e-3));
}

TEST_CASE("serving figures of the claims, by hand") {
  CHECK(figure(8, "tokens per step") == Approx(3.3616));  // (1 - 0.8^5)/0.2
  const double net[] = {2.80, 2.69, 2.59, 1.87, 1.68, 1.53};
  for (std::size_t i = 0; i < 6; ++i)
    CHECK(figure(8, "net gain", i) == Approx(net[i]).epsilon(4e-3));
  // 7.5 tokens of a sequence of 1204: under the 0.62 % of the trace.
  CHECK(figure(11, "waste of pages of 16", 0) == Approx(0.0062).epsilon(2e-3));
  CHECK(figure(11, "least waste of reservation") == Approx(0.618));
  CHECK(figure(12, "gain of refilling slots", 0) == Approx(2.718).epsilon(1e-3));  // H_8
  CHECK(figure(12, "gain of refilling slots", 1) == Approx(6.124).epsilon(1e-3));  // H_256
  CHECK(figure(12, "gain of refilling slots", 2) == Approx(21.7).epsilon(2e-3));   // 1/0.046
  CHECK(figure(20, "prefills saved", 0) == 63);
  CHECK(figure(20, "tokens not computed") == 126000);
  CHECK(figure(20, "FLOPs of 70B not spent") == Approx(1.76e16).epsilon(2e-3));
  CHECK(figure(20, "cache of 70B not stored") == Approx(41.3e9).epsilon(1e-3));
  // 128 experts, 8 a token: 128·(1 - (120/128)^64) = 125.9
  CHECK(figure(36, "experts read by 64 tokens") == Approx(125.9 / 128).epsilon(1e-3));
}

TEST_CASE("verdicts follow from the arithmetic") {
  const std::pair<int, const char*> expected[] = {
      {1, "conditional"},    {2, "wrong by 10x"},   {3, "wrong by 9.8x"},  {4, "wrong by 2.0x"},
      {5, "wrong by 1.8x"},  {6, "wrong by 7.5x"},  {7, "wrong by 2.0x"},  {8, "conditional"},
      {9, "wrong by 1.3x"},  {10, "conditional"},   {11, "right"},         {12, "conditional"},
      {13, "rounded"},       {14, "right"},         {15, "wrong by 3.2x"}, {16, "conditional"},
      {17, "wrong by 2.0x"}, {18, "wrong by 2.5x"}, {19, "wrong by 2.6x"}, {20, "conditional"},
      {21, "wrong by 34x"},  {22, "rounded"},       {23, "wrong by 3.7x"}, {24, "wrong by 4.0x"},
      {25, "rounded"},       {27, "wrong by 7.8x"}, {28, "wrong by 2.0x"}, {31, "wrong by 1.4x"},
      {34, "rounded"},       {35, "wrong by 10x"}};
  for (const auto& [id, says] : expected) {
    CAPTURE(id);
    CHECK(verdict(id) == says);
  }
}

TEST_CASE("the rule: right, rounded, wrong by the nearest reading, conditional") {
  CHECK(judged("5 x").verdict == Verdict::right);
  CHECK(judged("5.04 x").verdict == Verdict::right);   // 0.8 % off
  CHECK(judged("5.3 x").verdict == Verdict::rounded);  // 6 % off
  const Judgement wrong = judged("10 x");
  CHECK(wrong.verdict == Verdict::wrong);
  CHECK(wrong.factor == 2);
  CHECK(judged("2.5 x").factor == 2);  // too low by the same factor
  CHECK(judged("6 x, sense: at_most").verdict == Verdict::right);
  CHECK(judged("4 x, sense: at_most").verdict == Verdict::wrong);
  CHECK(judged("4 x, sense: at_least").verdict == Verdict::right);
  // 70B in BF16 needs 141 GB: a figure that holds on a GPU it cannot run on is conditional.
  const std::string fits =
      "conditions:\n  - {what: fits, quantity: fits, model: llama-3.1-70b, "
      "hardware: h100-sxm-80gb}\n";
  CHECK(judged("5 x", fits).verdict == Verdict::conditional);
  CHECK(judged("10 x", fits).verdict == Verdict::wrong);
}

TEST_CASE("claim files are read strictly") {
  const auto refused = [](const std::string& from, const std::string& to, const char* says) {
    std::string text = kSmall;
    text.replace(text.find("STATED"), 6, "5 x");
    text.replace(text.find(from), from.size(), to);
    CHECK_THROWS_WITH_AS(claim_from_node(parse_yaml(text, "claim.yaml")), doctest::Contains(says),
                         UserError);
  };
  refused("why", "wyh", "unknown key 'wyh', did you mean 'why'?");
  refused("5 x", "5", "expected a figure with its unit");
  refused("5 x", "5 GB", "stated in GB, computed as something else");
  refused("quantity: ratio", "quantity: rati", "unknown quantity \"rati\", did you mean 'ratio'?");
  refused(", to: 2 x", "", "ratio needs to");
  refused("to: 2 x", "to: 2 x, batch: 4", "ratio takes no batch");
  refused("to: 2 x", "to: 2 GB", "expected the unit of value");
  refused("quantity: ratio, value: 10 x, to: 2 x",
          "quantity: attention_bytes, kernel: {variant: q}", "unknown attention variant \"q\"");
  refused("- {what: x, quantity", "- {what: y, quantity", "nothing computes \"x\"");
}

TEST_CASE("a unit that does not exist is named, not counted as zero") {
  Compute ridge{.quantity = "ridge", .hardware = "a100-sxm-80gb", .dtype = Dtype::fp8};
  CHECK_THROWS_WITH_AS(evaluate(ridge), doctest::Contains("has no fp8 unit"), UserError);
}

TEST_CASE("figures read back in the unit they print in") {
  CHECK(parse_figure("25 GB")->value == 25e9);
  CHECK(parse_figure("64 MiB")->value == 64 * mebi);
  CHECK(parse_figure("42 ms")->value == Approx(0.042));
  CHECK(parse_figure("76 %")->value == Approx(0.76));
  CHECK(parse_figure("147 FLOP/B")->kind == Kind::intensity);
  CHECK(parse_figure("yes")->value == 1);
  CHECK_FALSE(parse_figure("25"));
  CHECK_FALSE(parse_figure("25 gb"));
  CHECK_FALSE(parse_figure("x 4"));
  for (const char* t : {"2.68 GB", "494 TFLOP/s", "24 tok/s", "43.3 %", "12864 tok/s", "no"})
    CHECK(print(*parse_figure(t)) == t);
}

TEST_CASE("quantities have a name, a formula and arguments that exist") {
  std::set<std::string_view> names;
  for (const Computation& q : computations()) {
    CAPTURE(q.name);
    CHECK(names.insert(q.name).second);
    CHECK_FALSE(q.formula.empty());
    CHECK(find_computation(q.name) == &q);
  }
  CHECK(find_computation("nothing") == nullptr);
}
