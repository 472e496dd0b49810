// The planner: its arithmetic by hand, its answers against its own constraints, and laws.
#include "model/plan/plan.hpp"

#include <doctest/doctest.h>

#include "model/hf_config.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "model/serving/arrivals.hpp"
#include "model/user_error.hpp"

using namespace kvroof;
using namespace kvroof::plan;
using doctest::Approx;

namespace {

Machine gpu(const char* id) { return to_machine(load_profile(find_profile(id, search_roots()))); }

Setup base(const char* llm) {
  Setup s;
  s.llm = load_llm(llm).shape;
  s.machine = gpu("h100-sxm-80gb"), s.engine = *find_engine("vllm");
  return s;
}

Goal chat(double rate, double ttft, double tpot) {
  Goal d;
  d.rate = rate, d.prompt = 1000, d.output = 200, d.slo = {ttft, tpot};
  d.traffic = [](double r, std::int64_t n) {
    return serving::synthesise({.requests = n,
                                .rate = r,
                                .prompt = {serving::LengthShape::lognormal, 1000, .6, 1, 8000},
                                .output = {.mean = 200}});
  };
  return d;
}

Choices two_gpus() {
  Choices c;
  c.machines = {gpu("h100-sxm-80gb"), gpu("h200-sxm-141gb")};
  c.tensor = {1, 2};
  return c;
}

}  // namespace

TEST_CASE("price by hand: 6 GPUs at $5 for 50 requests of 256 tokens a second") {
  Option o;
  o.setup.machine.gpu_hour_usd = 5, o.groups = 6, o.capacity = 12;
  Goal d;
  d.rate = 50, d.output = 256;
  size_option(o, d);
  CHECK(o.gpus == 6);
  CHECK(o.usd_per_hour == 30);
  CHECK(o.usd_per_million_output_tokens == Approx(30 / (3600. * 50 * 256) * 1e6));  // $0.651
  CHECK(o.load == Approx(50. / 72));
  o.prefill = Setup{}, o.prefill_groups = 2;
  o.prefill->machine.gpu_hour_usd = 2, o.prefill->policy.parallel.tensor = 4;
  size_option(o, d);
  CHECK(o.gpus == 14);
  CHECK(o.usd_per_hour == 46);
}

TEST_CASE("a group's capacity: the objective holds at it and not far beyond") {
  const Goal d = chat(10, .5, .03);
  for (const Role role : {Role::both, Role::prefill, Role::decode}) {
    CAPTURE(static_cast<int>(role));
    const Group g(base("llama-3.1-8b"), role, d);
    const Capacity c = capacity(g, d);
    REQUIRE(c.rate > 0);
    CHECK(meets(tails(g, d, c.rate), role, d.slo));
    CHECK_FALSE(meets(tails(g, d, 1.1 * c.rate), role, d.slo));
  }
  // Parts of a request are less work than the whole.
  const double whole = capacity(Group(base("llama-3.1-8b"), Role::both, d), d).rate;
  CHECK(capacity(Group(base("llama-3.1-8b"), Role::prefill, d), d).rate > whole);
  CHECK(capacity(Group(base("llama-3.1-8b"), Role::decode, d), d).rate > whole);
}

TEST_CASE("a plan holds its own constraints, whatever the threads") {
  const Goal d = chat(60, .5, .03);
  const Plan p = make_plan(base("llama-3.1-8b"), d, two_gpus(), 1);
  REQUIRE(p.cheapest);
  REQUIRE(p.smallest);
  for (const Option& o : p.options) {
    CAPTURE(title(o));
    if (!o.serves()) continue;
    CHECK(o.usd_per_hour >= p.options[*p.cheapest].usd_per_hour);
    CHECK(o.gpus >= p.options[*p.smallest].gpus);
    CHECK(o.load <= d.max_load + 1e-9);
    if (o.tails.ttft > 0) CHECK(meets(o.tails, Role::both, d.slo));
    if (!o.prefill) {
      // One group less would be loaded beyond the share that may be used.
      CHECK(d.rate > d.max_load * o.capacity * (o.groups - 1));
      CHECK(o.gpus == o.groups * o.setup.policy.parallel.gpus());
    }
  }
  CHECK(p.sensitivity.size() >= 8);
  const Plan again = make_plan(base("llama-3.1-8b"), d, two_gpus(), 3);
  REQUIRE(again.options.size() == p.options.size());
  for (std::size_t i = 0; i < p.options.size(); ++i) {
    CHECK(title(again.options[i]) == title(p.options[i]));
    CHECK(again.options[i].capacity == p.options[i].capacity);
    CHECK(again.options[i].tails.ttft == p.options[i].tails.ttft);
  }
}

TEST_CASE("laws: more to do and tighter limits never cost less; a free GPU wins") {
  Choices c = two_gpus();
  c.disaggregated = false;
  const auto price = [&](const Goal& d) {
    const Plan p = make_plan(base("llama-3.1-8b"), d, c, 2);
    return p.cheapest ? p.options[*p.cheapest].usd_per_hour : 1e300;
  };
  const double usual = price(chat(60, .5, .03));
  CHECK(price(chat(120, .5, .03)) > usual);
  CHECK(price(chat(60, .2, .03)) >= usual);
  CHECK(price(chat(60, .5, .012)) >= usual);
  Goal spare = chat(60, .5, .03);
  spare.spare = 1;
  CHECK(price(spare) > usual);
  c.machines[1].gpu_hour_usd = .01;
  const Plan p = make_plan(base("llama-3.1-8b"), chat(60, .5, .03), c, 2);
  CHECK(p.options[*p.cheapest].setup.machine.id == "h200-sxm-141gb");
}

TEST_CASE("what cannot be met says by how much, and where the floor is") {
  Choices c;
  c.machines = {gpu("h200-sxm-141gb")}, c.tensor = {1, 3}, c.disaggregated = false;
  const Plan p = make_plan(base("llama-3.1-8b"), chat(1, .5, .001), c, 2);
  CHECK_FALSE(p.cheapest);
  CHECK(p.sensitivity.empty());
  const auto r = reach(p);
  REQUIRE(r);
  // 8.03 B parameters without the embedding's 0.525 B, two bytes each, and 1,100 tokens of cache at
  // 131,072 B, at 4.8 TB/s.
  const double floor = ((8.03026e9 - .525337e9) * 2 + 1100 * 131072.) / 4.8e12;
  CHECK(r->tpot_floor == Approx(floor).epsilon(.01));
  CHECK(r->tpot > r->tpot_floor);
  std::string said;
  for (const Option& o : p.options) said += o.refusal + '\n';
  CHECK(said.find("TPOT p99 is") != std::string::npos);
  CHECK(said.find("x the limit") != std::string::npos);
  CHECK(said.find("num_attention_heads 32 is not divisible") != std::string::npos);
  // 70B does not fit one GPU, in whatever role.
  c.tensor = {1}, c.machines = {gpu("h100-sxm-80gb")}, c.disaggregated = true;
  const Plan big = make_plan(base("llama-3.1-70b"), chat(1, 5, .5), c, 2);
  CHECK_FALSE(big.cheapest);
  CHECK(big.options[0].refusal.find("does not fit") != std::string::npos);
  CHECK(big.no_pools.find("no group prefills in time") == 0);
  CHECK(big.no_pools.find("does not fit") != std::string::npos);
  CHECK_FALSE(reach(big));
}

TEST_CASE("experts may be spread, whole, over a group") {
  Choices c;
  c.machines = {gpu("h200-sxm-141gb")}, c.tensor = {2, 8}, c.disaggregated = false;
  const Plan p = make_plan(base("qwen3-30b-a3b"), chat(20, 1, .05), c, 2);
  std::string titles;
  for (const Option& o : p.options) titles += title(o) + '\n';
  CHECK(titles.find("TP2 DP4 EP8") != std::string::npos);
  CHECK(titles.find("TP8 EP8") != std::string::npos);
  CHECK(p.cheapest);
}
