// From a setup to a simulated service: the tables against the model they stand for.
#include "model/serve.hpp"

#include <doctest/doctest.h>

#include "model/hf_config.hpp"
#include "model/ops.hpp"
#include "model/search_path.hpp"
#include "model/serve_scenario.hpp"
#include "model/serving/arrivals.hpp"
#include "model/serving/simulate.hpp"
#include "model/serving/step_table.hpp"
#include "model/user_error.hpp"
#include "tests/machines.hpp"

using namespace kvroof;
using doctest::Approx;

namespace {

Setup llama8b() {
  return {.llm = load_llm("llama-3.1-8b").shape,
          .machine = test::h100(),
          .engine = *find_engine("vllm"),
          .point = {.batch = 32, .prompt = 1000, .output = 200}};
}

}  // namespace

TEST_CASE("a curve and a surface are exact for linear functions, beyond their ends too") {
  const serving::Curve line(100, [](double x) { return 3 * x + 1; });
  for (const double x : {0., .5, 3.9, 4., 17., 99., 250.}) CHECK(line(x) == Approx(3 * x + 1));
  const serving::Surface plane(64, 1000, [](double x, double y) { return 2 * x * y + y; });
  for (const double x : {.5, 7.3, 64., 90.})
    for (const double y : {1., 333., 5000.}) CHECK(plane(x, y) == Approx(2 * x * y + y));
}

TEST_CASE("tabulated steps are within 3 % of the evaluated ones") {
  const Setup s = llama8b();
  const serving::StepTime table = step_time(s);
  const Lowering l = lower(s.llm, s.policy, s.machine);
  const auto host = [&](double requests) {
    return s.engine.step_base + requests * s.engine.step_per_request;
  };
  for (const double b : {1., 9., 32., 100., 256.})
    for (const double context : {70., 1100., 5000.}) {
      CAPTURE(b);
      CAPTURE(context);
      const StepLoad load = {{.requests = b, .s_q = 1, .cached = context - 1}};
      const Seconds exact = phase(s, l, load).step.expected + host(b);
      CHECK(table({.decodes = b, .context = b * context}).value ==
            Approx(exact.value).epsilon(.03));
    }
  for (const double n : {100., 1000., 5000., 8192.}) {
    CAPTURE(n);
    const Seconds exact = phase(s, l, {{.requests = 1, .s_q = n}}).step.expected + host(0);
    CHECK(table({.prefills = 1, .prefill_tokens = n, .prefill_pairs = n * n / 2}).value ==
          Approx(exact.value).epsilon(.03));
  }
}

TEST_CASE("a closed loop of equal requests agrees with the prediction") {
  Setup s = llama8b();
  const Prediction p = predict(s);
  const serving::Trace t =
      serving::synthesise({.requests = 3000, .prompt = {.mean = 1000}, .output = {.mean = 200}});
  const serving::Service out =
      serving::simulate({.limits = limits(s, 1200), .concurrency = 32}, t, step_time(s));
  // The closed form spreads the prefills of the others evenly; the simulator schedules them.
  CHECK(out.tpot.mean == Approx(p.tpot.value).epsilon(.10));
  CHECK(out.output_rate == Approx(p.output_rate.value).epsilon(.10));
  CHECK(out.mean_batch == Approx(32).epsilon(.05));
}

namespace {

Scenario scenario(std::vector<Override> more) {
  std::vector<Override> all = {{"model", "llama-3.1-8b", "test"},
                               {"hardware", "h100-sxm-80gb", "test"},
                               {"workload.input_len", "1000", "test"},
                               {"workload.output_len", "200", "test"},
                               {"workload.num_requests", "400", "test"}};
  all.insert(all.end(), more.begin(), more.end());
  return scenario_from_overrides(all);
}

std::string refusal(std::vector<Override> more) {
  try {
    simulate_scenario(scenario(std::move(more)), llama8b());
  } catch (const UserError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a scenario is simulated under each policy") {
  const Setup setup = llama8b();
  const auto run = [&](std::vector<Override> more) {
    return simulate_scenario(scenario(std::move(more)), setup);
  };
  const ServiceRun slow = run({{"workload.request_rate", "2", "t"}});
  CHECK(slow.service.verdict == serving::Verdict::stable);
  CHECK(slow.service.request_rate == Approx(2).epsilon(.1));
  const ServiceRun flood = run({{"workload.request_rate", "500", "t"}});
  CHECK(flood.service.ttft.mean > 10 * slow.service.ttft.mean);
  CHECK(flood.usd_per_million_output_tokens <= slow.usd_per_million_output_tokens);
  // Speculation at acceptance .8 shortens a lone request's tokens, by less than E[tokens].
  const std::vector<Override> one = {{"workload.max_concurrency", "1", "t"},
                                     {"workload.num_requests", "40", "t"}};
  std::vector<Override> guess = one;
  guess.push_back(
      {"speculative",
       "{method: draft_model, num_speculative_tokens: 4, acceptance: 0.8, draft_cost: 0.05}", "t"});
  const double gain = run(one).service.tpot.mean / run(guess).service.tpot.mean;
  CHECK(gain > 1.5);
  CHECK(gain < 3.3616);
  // A static batch of mixed lengths wastes slots; a pool of its own keeps prefills out of TPOT.
  const ServiceRun fixed =
      run({{"workload.request_rate", "20", "t"}, {"scheduler.policy", "static", "t"}});
  CHECK(fixed.service.useful_share == Approx(1));
  const ServiceRun pools =
      run({{"workload.request_rate", "10", "t"},
           {"disaggregation", "{prefill_gpus: 1, decode_gpus: 1, link: nvlink}", "t"}});
  const ServiceRun both = run({{"workload.request_rate", "10", "t"}});
  CHECK(pools.gpus == 2);
  CHECK(pools.service.tpot.p99 < both.service.tpot.p99);
  CHECK(both.service.itl.max > 3 * both.service.itl.p50);  // prefills between the tokens
  CHECK(pools.service.itl.p99 < both.service.itl.p99);
  // A prefill pool of another kind: twice as fast in all, another price; decode is untouched.
  Setup fast = setup;
  for (auto& roof : fast.machine.tensor) roof.peak *= 2, roof.achieved *= 2;
  for (auto* roof : {&fast.machine.hbm, &fast.machine.l2}) roof->peak *= 2, roof->achieved *= 2;
  for (auto& fit : fast.machine.fit) fit.ramp *= .5;
  fast.machine.fp32.achieved *= 2, fast.machine.exps_per_second *= 2;
  fast.machine.gpu_hour_usd = 3 * setup.machine.gpu_hour_usd;
  const Scenario unequal = scenario({{"workload.request_rate", "10", "t"},
                                     {"disaggregation",
                                      "{prefill_gpus: 1, decode_gpus: 1, link: nvlink, "
                                      "prefill_hardware: h200-sxm-141gb}",
                                      "t"}});
  const ServiceRun mixed = simulate_scenario(unequal, setup, &fast);
  CHECK(mixed.service.ttft.p50 < .65 * pools.service.ttft.p50);
  CHECK(mixed.service.itl.p50 == Approx(pools.service.itl.p50).epsilon(.02));
  // (3 + 1)/2 of one price at the same rate of tokens.
  CHECK(mixed.usd_per_million_output_tokens * mixed.service.output_rate ==
        Approx(2 * pools.usd_per_million_output_tokens * pools.service.output_rate));
  // Two stages on two GPUs: the pipelined closed form, within the scheduling of prefills.
  Setup staged = setup;
  staged.policy.parallel.pipeline = 2;
  const Prediction p = predict(staged);
  const ServiceRun piped =
      simulate_scenario(scenario({{"workload.max_concurrency", "32", "t"}}), staged);
  CHECK(piped.service.tpot.mean == Approx(p.tpot.value).epsilon(.15));
  CHECK(run({{"workload.request_rate", "5", "t"}, {"scheduler.kv_allocation", "buddy", "t"}})
            .service.counters.preemptions == 0);
}

TEST_CASE("what cannot be simulated is refused by name") {
  CHECK(refusal({}).find("expected request_rate or max_concurrency") != std::string::npos);
  CHECK(refusal({{"workload.request_rate", "5", "t"}, {"workload.max_concurrency", "5", "t"}})
            .find("got both") != std::string::npos);
  CHECK(refusal({{"workload.request_rate", "5", "t"},
                 {"workload.input_len", "300000", "t"},
                 {"workload.output_len", "300000", "t"}}) != "accepted");
  CHECK(refusal({{"workload.request_rate", "5", "t"},
                 {"workload.input_len", "{trace: missing.csv}", "t"}}) != "accepted");
  CHECK(refusal({{"workload.request_rate", "5", "t"}, {"speculative", "{method: eagle}", "t"}})
            .find("draft_cost") != std::string::npos);
  CHECK(refusal({{"workload.request_rate", "5", "t"},
                 {"disaggregation",
                  "{prefill_gpus: 1, decode_gpus: 1, prefill_hardware: h200-sxm-141gb}", "t"}})
            .find("prefill_hardware") != std::string::npos);
}
