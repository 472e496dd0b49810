// The law of the power limit, solved by hand.
#include "model/power.hpp"

#include <doctest/doctest.h>

#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "model/yaml.hpp"

using namespace kvroof;

static_assert(std::is_same_v<decltype(Seconds{} * Watts{}), Joules>);
static_assert(std::is_same_v<decltype(Bytes{} * EnergyPerByte{}), Joules>);

namespace {

constexpr std::size_t kBf16 = static_cast<std::size_t>(MathType::bf16);

/// 100 W idle, 50 W of clocks; 1 pJ a FLOP, 10 pJ a byte of L2, 100 pJ a byte of HBM.
PowerLaw law(double held, double slope) {
  PowerLaw p{.held = Watts{held}, .idle = Watts{100}, .clocked = Watts{50}, .slope = slope};
  p.tensor[kBf16] = EnergyPerFlop{1e-12};
  p.l2 = EnergyPerByte{10e-12}, p.hbm_read = p.hbm_written = EnergyPerByte{100e-12};
  return p;
}

Op product(double flops, double hbm) {
  Op op{.op_class = OpClass::gemm, .math = MathType::bf16};
  op.work.flops = op.work.flops_executed = Flops{flops};
  op.work.read.weights = Bytes{hbm};
  return op;
}

}  // namespace

TEST_CASE("energy of an op: 600 TFLOP, 10 TB from L2 and 1 TB from HBM are 700 J and 100 J") {
  Op op = product(600e12, 1e12);
  op.work.l2_to_sm = Bytes{10e12};
  const auto e = energy(op, law(700, 0));
  REQUIRE(e.has_value());
  CHECK(e->logic.value == doctest::Approx(600 + 100));
  CHECK(e->memory.value == doctest::Approx(100));
  op.count = 3;
  CHECK(energy(op, law(700, 0))->logic.value == doctest::Approx(2100));
}

TEST_CASE("rows that only pad hold zeros; masked tiles of a prefill do not") {
  Op op = product(1e12, 0);
  op.work.flops_executed = Flops{16e12};
  CHECK(switching_flops(op).value == 1e12);
  op.op_class = OpClass::prefill_attention;
  CHECK(switching_flops(op).value == 16e12);
}

TEST_CASE("what stays on chip between two ops costs HBM nothing") {
  Op op = product(0, 5e12);
  op.handed_over = Bytes{2e12};
  CHECK(energy(op, law(700, 0))->memory.value == doctest::Approx(300));
}

TEST_CASE("a format whose energy was not measured has none") {
  Op op = product(1e12, 0);
  op.math = MathType::fp8;
  CHECK_FALSE(energy(op, law(700, 0)).has_value());
  CHECK_FALSE(energy(std::vector{product(1, 0), op}, law(700, 0)).has_value());
}

TEST_CASE("pace at a fixed voltage: 100 + 50 x + 800 x = 610 W at x = 0.6") {
  // 8 J of logic in 10 ms at full pace, all of it on the SMs' clock.
  const double x = steady_pace(
      {.logic = Joules{8}}, [](double p) { return Seconds{0.01 / p}; }, law(610, 0));
  CHECK(x == doctest::Approx(0.6));
}

TEST_CASE(
    "voltage as the clock, HBM beside it: 100 + x²·(50 x + 750 x) + 80 = 589.6 W at x = 0.8") {
  // 0.8³ = 0.512: 409.6 W of logic. Bytes take their 10 ms at any pace.
  const Energy e{.logic = Joules{7.5}, .memory = Joules{0.8}};
  const auto fixed = [](double) { return Seconds{0.01}; };
  // logic at a fixed time: x²·(50 x + 750) = 0.64·790 = 505.6 W
  CHECK(steady_pace(e, fixed, law(100 + 505.6 + 80, 1)) == doctest::Approx(0.8));
  // and on the clock the HBM draw falls as well: 80 · 0.8
  const auto clocked = [](double p) { return Seconds{0.01 / p}; };
  CHECK(steady_pace(e, clocked, law(100 + 409.6 + 64, 1)) == doctest::Approx(0.8));
}

TEST_CASE("under the limit nothing slows down") {
  CHECK(steady_pace(
            {.logic = Joules{1}}, [](double p) { return Seconds{0.01 / p}; }, law(700, 1)) == 1);
}

TEST_CASE("a rested launch falls beyond the knee alone: 250 W too many of 2500 are a tenth") {
  PowerLaw p = law(700, 1);
  CHECK(one_shot_pace({.logic = Joules{10}}, Seconds{0.01}, p) == 1);  // no droop known
  p.knee = Watts{900}, p.droop = Watts{2500};
  CHECK(one_shot_pace({.logic = Joules{7.5}}, Seconds{0.01}, p) == 1);  // 100 + 50 + 750
  CHECK(one_shot_pace({.logic = Joules{10}}, Seconds{0.01}, p) == doctest::Approx(0.9));
}

TEST_CASE("at a pace SM rates scale, HBM and launches stay") {
  Machine m{.num_sms = 132, .boost_clock = Clock{2e9}};
  m.tensor[kBf16] = {Throughput{1000e12}, Throughput{900e12}};
  m.hbm = {Bandwidth{4e12}, Bandwidth{4e12}};
  m.launch.graph_node = Seconds{1e-6};
  const Machine half = at_pace(m, 0.5);
  CHECK(half.roof(MathType::bf16).peak.value == 500e12);
  CHECK(half.boost_clock.value == 1e9);
  CHECK(half.hbm == m.hbm);
  CHECK(half.launch == m.launch);
}

TEST_CASE("a step has one pace: products slow down, streams do not, and none beats its rest") {
  // Rested: a product of 10 ms drawing 100 + 50 + 1050 W, a stream of 10 ms drawing 100 + 50 + 100.
  PowerLaw p = law(0, 0);
  p.knee = Watts{900}, p.droop = Watts{1500};  // the product: 300 of 1500 too many, pace 0.8
  Machine m{.boost_clock = Clock{1e9}};
  const std::vector<PacedOp> ops{
      *paced(product(10.5e12, 0), m, p,
             [](const Machine& at) { return Seconds{0.01 * 1e9 / at.boost_clock.value}; }),
      *paced(product(0, 10e9), m, p, [](const Machine&) { return Seconds{0.01}; })};
  CHECK(ops[0].one_shot == doctest::Approx(0.8));
  CHECK(ops[1].one_shot == 1);
  // At pace 0.4 the product takes 20 ms: 11.5 J in 30 ms and 50·0.4 W of clocks beside 100 W.
  p.held = Watts{100 + 20 + 11.5 / 0.03};
  const SteadyStep slow = steady_step(ops, m, p);
  CHECK(slow.pace == doctest::Approx(0.4));
  CHECK(slow.seconds.value == doctest::Approx(0.03));
  // With power to spare every op takes its rested time.
  p.held = Watts{2000};
  CHECK(steady_step(ops, m, p).seconds.value == doctest::Approx(0.02));
}

TEST_CASE("a profile without power figures has no law; the H200's is complete") {
  const auto load = [](const char* id) { return load_profile(find_profile(id, search_roots())); };
  CHECK_FALSE(power_law(load("a100-sxm-80gb")).has_value());
  const auto h200 = power_law(load("h200-sxm-141gb"));
  REQUIRE(h200.has_value());
  CHECK(h200->held < Watts{700});
  CHECK(h200->tensor[kBf16] > EnergyPerFlop{});
  CHECK(h200->tensor[static_cast<std::size_t>(MathType::int8)] == EnergyPerFlop{});
  HardwareProfile partial = load("h200-sxm-141gb");
  partial.power.l2_read.value.reset();
  CHECK_FALSE(power_law(partial).has_value());
}
