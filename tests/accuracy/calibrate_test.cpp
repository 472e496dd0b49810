// The fit against constants planted in synthetic rows; the steps of a closed loop by hand.
#include "model/accuracy/calibrate.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "model/accuracy/cross_validate.hpp"
#include "model/search_path.hpp"
#include "model/serving/closed_loop.hpp"
#include "model/user_error.hpp"

using namespace kvroof;
using namespace kvroof::accuracy;
using doctest::Approx;

namespace {

std::size_t constant(std::string_view name) {
  const auto all = engine_constants();
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i].name == name) return i;
  FAIL("no such constant");
  return 0;
}

std::vector<Measurement> grid() {
  std::vector<Measurement> rows;
  for (const char* gpu : {"h100_sxm", "h200_sxm"})
    for (const int tp : {1, 2, 4, 8})
      for (const double isl : {512., 4096.})
        for (const double osl : {128., 1024.})
          for (const double c : {1., 4., 16., 64., 200.}) {
            Measurement m{.hardware = gpu,
                          .engine = "vllm",
                          .llm = "meta-llama/Llama-3.1-8B",
                          .isl = isl,
                          .osl = osl,
                          .concurrency = c,
                          .metric = "tpot",
                          .value = 1};
            m.pool.tp = tp, m.weights = m.kv = Dtype::bf16;
            m.configuration = std::to_string(rows.size());
            rows.push_back(m);
          }
  return rows;
}

}  // namespace

TEST_CASE("calibrate recovers planted constants within three of its stated standard errors") {
  std::array<double, kNumEngineConstants> planted{};
  planted[constant("step_base")] = std::log(1.6);
  planted[constant("step_per_request")] = std::log(2.5);
  planted[constant("gemm.memory")] = std::log(0.8);
  planted[constant("gemm.compute")] = std::log(0.7);
  planted[constant("decode_attention.memory")] = std::log(0.75);
  planted[constant("collective.latency")] = std::log(1.5);
  Context context(false);
  const std::vector<Measurement> rows = grid();
  std::vector<Sample> data = samples(context, rows);
  REQUIRE(data.size() == rows.size());
  const EngineTraits traits = with_constants(prior_traits("vllm"), planted);
  std::mt19937 random(7);
  std::normal_distribution<double> noise(0, 0.03);
  std::vector<const Sample*> used;
  for (Sample& s : data) {
    s.measured = predicted(s, traits, with_kernels_of(traits, s.machine)) * std::exp(noise(random));
    used.push_back(&s);
  }
  // One row in forty is nonsense, as in published tables.
  for (std::size_t i = 0; i < data.size(); i += 40) data[i].measured *= 3;
  const auto fits = fit(used, {.prior = 0.7, .deviation = 0.3, .generation = 0.1});
  const EngineFit& f = fits.at("vllm-hopper");
  CHECK(f.rows == static_cast<int>(data.size()));
  CHECK(f.residual == Approx(0.03).epsilon(0.35));
  for (const char* name : {"step_base", "step_per_request", "gemm.memory", "gemm.compute",
                           "decode_attention.memory", "collective.latency"}) {
    const std::size_t i = constant(name);
    CAPTURE(name);
    CHECK(std::abs(f.log_factor[i] - planted[i]) < 3 * f.standard_error[i]);
    CHECK(f.covariance[i][i] == Approx(f.standard_error[i] * f.standard_error[i]));
  }
  // The errors are not so wide that anything would pass.
  CHECK(f.standard_error[constant("gemm.memory")] < 0.1);
  CHECK(f.standard_error[constant("step_per_request")] < 0.1);
  // Held-out halves are as good as the noise lets them be, nonsense apart.
  CHECK(figures(random_halves(used, {.prior = 0.7}, 1)).median_ape < 0.04);
}

TEST_CASE("closed loop: every other request prefills once while one generates") {
  const serving::Loop mixed{
      .requests = 5, .prompt = 1000, .output = 100, .context = 1050, .budget = 8192};
  auto s = serving::closed_loop(mixed);
  REQUIRE(s.size() == 2);
  CHECK(s[0].per_token == Approx(0.96));  // 4 of 100 steps carry a prompt
  CHECK(s[1].per_token == Approx(0.04));
  REQUIRE(s[1].load.size() == 2);
  CHECK(s[1].load[0].requests == 5);
  CHECK(s[1].load[1].s_q == 1000);
  // 10,000 tokens beside 5 decodes in steps of 8192: two chunks of 5000, the mean one after 2500.
  serving::Loop longer = mixed;
  longer.prompt = 10000;
  s = serving::closed_loop(longer);
  CHECK(s[1].per_token == Approx(0.08));
  CHECK(s[1].load[1].s_q == 5000);
  CHECK(s[1].load[1].cached == 2500);
  // Prompts in steps of their own: decodes are not fewer, and all five of a wave share a step,
  // for half of which a request has not yet its first token.
  serving::Loop alone = mixed;
  alone.alone = true;
  s = serving::closed_loop(alone);
  CHECK(s[0].per_token == Approx(1));
  CHECK(s[1].per_token == Approx(0.04));
  CHECK(s[1].load.size() == 1);
  alone.in_step = true;
  s = serving::closed_loop(alone);
  CHECK(s[1].per_token == Approx(0.02 / 5));
  CHECK(s[1].load[0].requests == 5);
  CHECK(serving::closed_loop({.requests = 1, .prompt = 100, .output = 10}).size() == 1);
}

TEST_CASE("engine constants: written, read back, and refused when a name or number is wrong") {
  EngineFit f;
  f.engine = "vllm", f.source = "here", f.rows = 3, f.residual = 0.05;
  for (std::size_t i = 0; i < kNumEngineConstants; ++i)
    f.log_factor[i] = 0.01 * static_cast<double>(i), f.standard_error[i] = 0.1;
  const auto root = std::filesystem::temp_directory_path() / "kvroof-engine-test";
  std::filesystem::create_directories(root / "hw_profiles" / "engines");
  const auto file = (root / "hw_profiles" / "engines" / "vllm.yaml").string();
  std::ofstream(file) << print_engine_fit(f);
  const EngineFit back = read_engine_fit(file);
  CHECK(back.rows == 3);
  for (std::size_t i = 0; i < kNumEngineConstants; ++i)
    CHECK(back.log_factor[i] == Approx(f.log_factor[i]).epsilon(1e-3));
  CHECK(load_engine("vllm", "hopper", {root.string()}).step_base.value == Approx(1e-3));
  CHECK(load_engine("mystery", "hopper", {root.string()}).name == "vllm");
  std::string wrong = print_engine_fit(f);
  wrong.replace(wrong.find("gemm.ramp"), 9, "gemm.rump");
  std::ofstream(file) << wrong;
  CHECK_THROWS_AS(read_engine_fit(file), UserError);
  std::filesystem::remove_all(root);
}

TEST_CASE("kernels of an engine: factors on the GPU's shares, never over the peak") {
  EngineTraits t = *find_engine("vllm");
  Machine m;
  m.fit[0] = {.compute = 0.5, .memory = 0.8, .ramp = Seconds{2e-6}};
  t.kernels[0] = {.compute = 1.5, .memory = 1.5, .ramp = 2};
  const Machine out = with_kernels_of(t, m);
  CHECK(out.fit[0].compute == Approx(0.75));
  CHECK(out.fit[0].memory == 1);
  CHECK(out.fit[0].ramp.value == Approx(4e-6));
}
