// The event simulator: conservation laws over random configurations, closed forms, real runs.
#include "model/serving/simulate.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <string>

#include "model/serving/arrivals.hpp"
#include "model/serving/disaggregation.hpp"
#include "model/serving/kv_allocation.hpp"
#include "model/serving/speculative.hpp"
#include "model/serving/static_batching.hpp"
#include "model/serving/traces.hpp"
#include "model/user_error.hpp"
#include "tests/serving/reference_data.hpp"

using namespace kvroof;
using namespace kvroof::serving;
using doctest::Approx;

namespace {

/// An 8B-like step: weights or math, cache, attention of prompts, a constant.
Seconds toy_step(const StepMix& m) {
  const double tokens = m.decodes * m.verify + m.prefill_tokens;
  return Seconds{1e-3 + std::max(5e-3, tokens * 2e-5) + m.context * 4e-8 + m.prefill_pairs * 1e-9};
}

const StepTime kToy = toy_step;
const StepTime kConstant = [](const StepMix&) { return Seconds{.01}; };

}  // namespace

TEST_CASE("conservation laws over random configurations") {
  Rng rng(2024);
  std::int64_t preemptions = 0, hits = 0;
  for (int trial = 0; trial < 1500; ++trial) {
    CAPTURE(trial);
    SyntheticTrace traffic{
        .requests = 1 + static_cast<std::int64_t>(rng.below(80)),
        .rate = rng.uniform() < .2 ? 0 : std::exp(5 * rng.uniform() - 1),
        .burstiness = std::exp(2 * rng.uniform() - 1),
        .prompt = {LengthShape::exponential, 1 + 400 * rng.uniform(), 0, 1, 1500},
        .output = {LengthShape::exponential, 1 + 200 * rng.uniform(), 0, 1, 900},
        .seed = rng.next()};
    Trace t = synthesise(traffic);
    const std::int64_t b = 1ll << rng.below(7);
    if (rng.uniform() < .4) {  // shared prefixes
      t.hash_block = b * static_cast<std::int64_t>(1 + rng.below(3));
      for (Request& r : t.requests) {
        r.first_hash = static_cast<std::uint32_t>(t.hashes.size());
        const auto family = static_cast<std::int64_t>(rng.below(4));
        for (std::int64_t k = 0; (k + 1) * t.hash_block <= r.prompt; ++k)
          t.hashes.push_back(k < 4 ? family * 1000 + k
                                   : static_cast<std::int64_t>(rng.next() >> 8));
        r.num_hashes = static_cast<std::uint32_t>(t.hashes.size()) - r.first_hash;
      }
    }
    Simulation s;
    s.limits.block_size = b;
    s.limits.blocks = (2500 + static_cast<std::int64_t>(rng.below(6000))) / b + 1;
    s.limits.max_num_seqs = 1 + static_cast<std::int64_t>(rng.below(64));
    s.limits.guesses = rng.uniform() < .25 ? 1 + static_cast<int>(rng.below(5)) : 0;
    s.limits.acceptance = rng.uniform();
    s.limits.max_num_batched_tokens =
        s.limits.max_num_seqs * (1 + s.limits.guesses) + static_cast<std::int64_t>(rng.below(2000));
    s.limits.watermark = rng.uniform() < .5 ? .01 : 0;
    s.limits.chunked_prefill = rng.uniform() < .8;
    s.limits.reserve = rng.uniform() < .2 ? 2400 : 0;
    s.limits.buddy = s.limits.reserve == 0 && rng.uniform() < .2;
    if (s.limits.buddy) s.limits.blocks = 4096 / b + static_cast<std::int64_t>(rng.below(6000));
    s.limits.swap_per_token = Seconds{rng.uniform() < .2 ? 5e-6 : 0};
    s.replicas = 1 + static_cast<int>(rng.below(3));
    if (rng.uniform() < .3) s.concurrency = 1 + static_cast<std::int64_t>(rng.below(40));
    else if (rng.uniform() < .3)
      s.prefill = {.replicas = 1 + static_cast<int>(rng.below(2)),
                   .limits = s.limits,
                   .transfer_per_token = Seconds{1e-6},
                   .n_layers = 32};
    s.seed = rng.next();

    const Service out = simulate(s, t, kToy);
    REQUIRE(out.records.size() == t.requests.size());  // nobody is lost
    double outputs = 0;
    for (std::size_t i = 0; i < out.records.size(); ++i) {
      const Record& r = out.records[i];
      REQUIRE(r.output == t.requests[i].output);
      REQUIRE(r.first_token > r.arrival);  // time runs forward
      REQUIRE(r.finish >= r.first_token);
      REQUIRE((r.output == 1) == (r.finish == r.first_token));
      REQUIRE(r.cached < r.prompt);
      // No token is faster than the emptiest step: g + 1 tokens of one step at most.
      REQUIRE(r.finish - r.first_token >=
              6e-3 * std::floor((r.output - 1.0) / (1 + s.limits.guesses)) * .999);
      outputs += r.output, hits += r.cached;
    }
    REQUIRE(out.counters.peak_blocks <= s.limits.blocks);  // the pool is never exceeded
    REQUIRE(out.counters.token_seconds <=
            out.counters.block_seconds * (1 + 1e-9) +
                (t.hash_block > 0 ? 1e300 : 0));  // shared tokens count once per user
    REQUIRE(out.counters.busy <= out.duration * (s.replicas + s.prefill.replicas) * (1 + 1e-9));
    REQUIRE(out.output_rate * out.duration == Approx(outputs));
    // Every token but a request's first ends one gap; gaps of a request add up to its decode time.
    if (s.limits.guesses == 0) {
      REQUIRE(out.gaps == outputs - static_cast<double>(t.requests.size()));
      double waited = 0;
      for (const Record& r : out.records) waited += r.finish - r.first_token;
      if (s.limits.swap_per_token == Seconds{} && out.gaps > 0)
        REQUIRE(out.itl.mean * out.gaps == Approx(waited).epsilon(1e-6));
    }
    if (s.limits.buddy || !(s.limits.guesses == 0 && s.limits.reserve == 0))
      REQUIRE(out.counters.preemptions == 0);
    preemptions += out.counters.preemptions;

    const Service again = simulate(s, t, kToy);
    for (std::size_t i = 0; i < out.records.size(); ++i)
      REQUIRE(again.records[i].finish == out.records[i].finish);
  }
  CHECK(preemptions > 100);  // the corner cases were visited
  CHECK(hits > 1000);
}

TEST_CASE("every block comes back") {
  const Trace t = synthesise({.requests = 400,
                              .rate = 50,
                              .prompt = {LengthShape::exponential, 300, 0, 1, 1500},
                              .output = {LengthShape::exponential, 200, 0, 1, 900}});
  std::vector<Record> records(t.requests.size());
  Replica engine({.blocks = 200}, kToy, t, records, 1);
  for (std::size_t i = 0; i < t.requests.size(); ++i) {
    engine.run_until(t.requests[i].arrival.value);
    engine.submit(static_cast<std::int32_t>(i), t.requests[i].arrival.value);
  }
  engine.run_until(1e9);
  CHECK(engine.idle());
  CHECK(engine.pool().used() == 0);
  CHECK(engine.counters().preemptions > 0);
}

TEST_CASE("one request alone, by hand") {
  Trace t;
  t.requests = {{.arrival = Seconds{2}, .prompt = 100, .output = 11}};
  const StepTime step = [](const StepMix& m) {
    return Seconds{m.prefill_tokens > 0 ? m.prefill_tokens * 1e-3 : 1e-2 + m.context * 1e-6};
  };
  const Service out = simulate({.limits = {.blocks = 100}}, t, step);
  CHECK(out.ttft.mean == Approx(.1));
  // Contexts 101 … 110.
  CHECK(out.e2e.mean == Approx(.1 + 10 * 1e-2 + 1055e-6));
  CHECK(out.counters.peak_blocks == 7);
  CHECK(out.counters.steps == 11);
  // A budget of 40 tokens: chunks of 40, 40, 20.
  const Service chunks = simulate(
      {.limits = {.max_num_seqs = 8, .max_num_batched_tokens = 40, .blocks = 100}}, t, step);
  CHECK(chunks.ttft.mean == Approx(.1));
  CHECK(chunks.counters.steps == 13);
}

TEST_CASE("jumps equal single steps") {
  // A step model that depends on the context non-linearly, against the sum step by step.
  const StepTime step = [](const StepMix& m) {
    return Seconds{m.decodes == 0 ? 1e-3 : std::max(5e-3, m.context * 1e-5)};
  };
  Trace t;
  t.requests = {{.prompt = 100, .output = 2001}};
  double sum = 1e-3;
  for (int i = 1; i <= 2000; ++i) sum += std::max(5e-3, (100 + i) * 1e-5);
  CHECK(simulate({.limits = {.blocks = 1000}}, t, step).e2e.mean == Approx(sum).epsilon(2e-4));
}

TEST_CASE("static utilisation: simulator = closed form") {
  const Trace t = synthesise({.requests = 64 * 2000,
                              .prompt = {.mean = 10},
                              .output = {LengthShape::exponential, 2000, 0, 1, 1e6}});
  const Service out = simulate_static(64, false, 0, t, kConstant);
  CHECK(out.useful_share == Approx(static_utilisation_exponential(64)).epsilon(.02));
  CHECK(out.useful_share == Approx(static_utilisation(lengths(t), 64)).epsilon(.02));
}

TEST_CASE("a static batch in a closed loop: whoever is done early waits for the batch, by hand") {
  // Steps of 10 ms. Batch one: prefill to 10 ms, last tokens at 110 and 210 ms. The clients send
  // again then; the next batch starts at 210 ms and its first tokens are out at 220 ms.
  Trace t;
  t.requests = {{.prompt = 10, .output = 11},
                {.prompt = 10, .output = 21},
                {.prompt = 10, .output = 11},
                {.prompt = 10, .output = 21}};
  const Service out = simulate_static(8, false, 2, t, kConstant);
  CHECK(out.records[2].arrival == Approx(.110));
  CHECK(out.records[3].arrival == Approx(.210));
  CHECK(out.ttft.max == Approx(.110));
  CHECK(out.mean_batch == Approx(2));
  CHECK(out.duration == Approx(.420));
}

TEST_CASE("speculation: simulator = Leviathan") {
  for (const int g : {1, 3, 4, 7}) {
    CAPTURE(g);
    Simulation s{.limits = {.max_num_seqs = 8, .blocks = 100000, .guesses = g, .acceptance = .8},
                 .concurrency = 8};
    const Trace t =
        synthesise({.requests = 2000, .prompt = {.mean = 10}, .output = {.mean = 1001}});
    const Service out = simulate(s, t, kConstant);
    CHECK(.01 / out.tpot.mean == Approx(expected_tokens(.8, g)).epsilon(.02));
    const Trace brief =
        synthesise({.requests = 20000, .prompt = {.mean = 10}, .output = {.mean = 101}});
    CHECK(.01 / simulate(s, brief, kConstant).tpot.mean ==
          Approx(expected_tokens(.8, g)).epsilon(.02));
  }
}

TEST_CASE("prefill queue: simulator = M/D/1") {
  for (const double load : {.3, .6, .9}) {
    CAPTURE(load);
    const Trace t = synthesise({.requests = 400000,
                                .rate = load,
                                .prompt = {.mean = 100},
                                .output = {.mean = 1},
                                .seed = 5});
    Simulation s{.limits = {.max_num_seqs = 1, .max_num_batched_tokens = 100, .blocks = 100}};
    const Service out = simulate(s, t, [](const StepMix&) { return Seconds{1}; });
    CHECK(out.ttft.mean == Approx(prefill_ttft(load, Seconds{1}).value).epsilon(.02));
  }
}

TEST_CASE("gaps between tokens: bins against the sorted list, and a prefill seen by a decode") {
  // A ramp in bins against every single step.
  Gaps ramp, single;
  std::vector<double> all;
  for (std::int64_t k = 0; k < 5000; ++k) {
    all.push_back(5e-3 + 2e-6 * static_cast<double>(k));
    single.add(all.back(), 3);
  }
  ramp.add_ramp(all.front(), all.back(), 5000, 3);
  CHECK(ramp.count() == 15000);
  CHECK(ramp.mean() == Approx(single.mean()));
  for (const double p : {.01, .5, .9, .99, 1.}) {
    const double exact = all[static_cast<std::size_t>(std::ceil(p * 5000)) - 1];
    CHECK(ramp.percentile(p) == Approx(exact).epsilon(.008));
    CHECK(single.percentile(p) == Approx(exact).epsilon(.008));
  }
  // One request decodes in steps of 10 ms; in the middle another's prompt takes a second.
  Trace t;
  t.requests = {{.prompt = 10, .output = 101},
                {.arrival = Seconds{.6}, .prompt = 1000, .output = 1}};
  const StepTime step = [](const StepMix& m) { return Seconds{m.prefill_tokens > 100 ? 1 : 1e-2}; };
  const Service out = simulate({.limits = {.blocks = 100}}, t, step);
  CHECK(out.gaps == 100);
  CHECK(out.itl.p50 == Approx(1e-2).epsilon(.008));
  CHECK(out.itl.p99 == Approx(1e-2).epsilon(.008));
  CHECK(out.itl.max == 1);
  CHECK(out.itl.mean == Approx((99 * 1e-2 + 1) / 100));
  CHECK(out.tpot.max == Approx(out.itl.mean));
  // A preempted request's user waits through everything until it is back.
  t.requests = {{.prompt = 80, .output = 80}, {.prompt = 80, .output = 80}};
  const Service tight = simulate({.limits = {.blocks = 14}}, t, kConstant);
  CHECK(tight.counters.preemptions > 0);
  CHECK(tight.gaps == 158);
  CHECK(tight.itl.max > .3);
  CHECK(tight.itl.p50 == Approx(.01).epsilon(.008));
}

TEST_CASE("buddies split, merge and never overlap") {
  BuddyPool pool(21);  // 16 + 4 + 1
  CHECK(pool.largest() == 16);
  CHECK(BuddyPool::order_of(1) == 0);
  CHECK(BuddyPool::order_of(5) == 3);
  CHECK_FALSE(pool.has(5));
  const std::int64_t a = pool.take(2), b = pool.take(3);
  CHECK(a == 16);  // the piece of 4 before the 16 is split
  CHECK(b == 0);
  CHECK_FALSE(pool.has(4));
  pool.give_back(b, 3);
  CHECK(pool.has(4));  // both halves are one again
  pool.give_back(a, 2);
  Rng rng(9);
  std::vector<std::pair<std::int64_t, int>> taken;
  std::vector<bool> used(21);
  for (int i = 0; i < 5000; ++i) {
    const int order = static_cast<int>(rng.below(4));
    if (rng.uniform() < .5 && pool.has(order)) {
      taken.emplace_back(pool.take(order), order);
      for (std::int64_t x = 0; x < 1 << order; ++x) {
        const auto at = static_cast<std::size_t>(taken.back().first + x);
        REQUIRE_FALSE(used.at(at));
        used[at] = true;
      }
    } else if (!taken.empty()) {
      const auto [address, o] = taken[rng.below(taken.size())];
      std::erase(taken, std::pair{address, o});
      for (std::int64_t x = 0; x < 1 << o; ++x) used[static_cast<std::size_t>(address + x)] = false;
      pool.give_back(address, o);
    }
  }
  for (const auto& [address, o] : taken) pool.give_back(address, o);
  CHECK(pool.has(4));
}

TEST_CASE("buddy allocation: what is held = the closed form, and contiguity costs slots") {
  const Trace t = synthesise({.requests = 3000,
                              .rate = 1e6,
                              .prompt = {LengthShape::exponential, 300, 0, 16, 1500},
                              .output = {LengthShape::exponential, 200, 0, 16, 900}});
  Simulation s{.limits = {.blocks = 1 << 17, .buddy = true, .prefix_caching = false}};
  const Service roomy = simulate(s, t, kConstant);
  // Pieces are powers of two of 16-token blocks, and so powers of two of tokens.
  CHECK(roomy.counters.token_steps / roomy.counters.block_steps ==
        Approx(useful_fraction(lengths(t), {Allocation::buddy, 16, 0})).epsilon(.02));
  s.limits.blocks = 4096;
  const Service tight = simulate(s, t, kConstant);
  s.limits.buddy = false;
  const Service paged = simulate(s, t, kConstant);
  CHECK(tight.mean_batch < paged.mean_batch);
  CHECK(tight.duration > paged.duration);
}

TEST_CASE("paged waste on public traces: simulator = closed form") {
  for (const char* file :
       {"traces/azure_2023_code.csv", "traces/azure_2023_conv.csv",
        "traces/mooncake_conversation.jsonl", "traces/sharegpt_llama31_8b_300.jsonl"}) {
    CAPTURE(file);
    KVROOF_NEED_REFERENCE(path, file);
    Trace t = load_trace(path);
    const std::vector<Lengths> all = lengths(t);
    Simulation s{.limits = {.max_num_seqs = 256,
                            .max_num_batched_tokens = 1 << 20,
                            .blocks = 1 << 20,
                            .prefix_caching = false}};
    const auto share = [&] {
      const Counters c = simulate(s, t, kConstant).counters;
      return c.token_steps / c.block_steps;
    };
    const double paged = useful_fraction(all, {Allocation::paged, 16, 0});
    CHECK(share() == Approx(paged).epsilon(.02));
    s.limits.reserve = max_len_of(all);
    s.limits.blocks = 256 * s.limits.reserve / 16;
    const double reserved = useful_fraction(all, {Allocation::reserved_max, 16, s.limits.reserve});
    CHECK(share() == Approx(reserved).epsilon(.02));
  }
}

TEST_CASE("verdicts") {
  const auto at = [](double rate) {
    const Trace t = synthesise(
        {.requests = 4000, .rate = rate, .prompt = {.mean = 100}, .output = {.mean = 50}});
    return simulate({.limits = {.max_num_seqs = 16, .blocks = 10000}}, t, kConstant).verdict;
  };
  // 16 slots, 50 steps of 10 ms: 32 requests a second at most.
  CHECK(at(10) == Verdict::stable);
  CHECK(at(31) == Verdict::backlogged);
  CHECK(at(60) == Verdict::overloaded);
}

TEST_CASE("limits that serve nobody are refused") {
  Trace t;
  t.requests = {{.prompt = 100, .output = 11}};
  const auto refuses = [&](const Simulation& s) {
    CHECK_THROWS_AS(simulate(s, t, kToy), UserError);
  };
  refuses({.limits = {.blocks = 6}});
  refuses({.limits = {.max_num_seqs = 0, .blocks = 100}});
  refuses({.limits = {.max_num_seqs = 256, .max_num_batched_tokens = 255, .blocks = 100}});
  refuses({.limits = {.blocks = 100, .acceptance = NAN}});
  refuses({.limits = {.blocks = 100}, .replicas = 0});
  refuses({.limits = {.blocks = 7, .buddy = true}});  // 111 tokens: a piece of 8 blocks
  CHECK_THROWS_AS(simulate({.limits = {.blocks = 100}}, Trace{}, kToy), UserError);
}
