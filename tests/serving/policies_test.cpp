// Cache allocation, prefix caching, preemption, speculation, disaggregation: published figures.
#include <doctest/doctest.h>

#include <vector>

#include "model/moe.hpp"
#include "model/serving/disaggregation.hpp"
#include "model/serving/kv_allocation.hpp"
#include "model/serving/preemption.hpp"
#include "model/serving/prefix_cache.hpp"
#include "model/serving/rng.hpp"
#include "model/serving/speculative.hpp"
#include "model/serving/traces.hpp"
#include "tests/serving/reference_data.hpp"

using namespace kvroof;
using namespace kvroof::serving;
using doctest::Approx;

TEST_CASE("room taken by one request under each allocation") {
  const auto held = [](Allocation a) { return held_tokens({a, 16, 2048}, 70, 100); };
  CHECK(held(Allocation::paged) == 80);
  CHECK(held(Allocation::reserved_exact) == 100);
  CHECK(held(Allocation::buddy) == 128);
  CHECK(held(Allocation::reserved_max) == 2048);
  CHECK(paged_waste(16) == 7.5);
}

TEST_CASE("useful share of the cache on public traces") {
  struct Row {
    const char* file;
    std::int64_t max_len;
    double reserved, buddy, exact, paged;
  };
  const Row rows[] = {
      {"traces/azure_2023_code.csv", 8192, .260, .699, .965, .9965},
      {"traces/azure_2023_conv.csv", 16384, .075, .621, .880, .9939},
      {"traces/mooncake_conversation.jsonl", 131072, .100, .685, .980, .9994},
      {"traces/sharegpt_llama31_8b_300.jsonl", 8192, .147, .537, .783, .9938},
  };
  for (const Row& row : rows) {
    CAPTURE(row.file);
    KVROOF_NEED_REFERENCE(path, row.file);
    const std::vector<Lengths> r = lengths(load_trace(path));
    CHECK(max_len_of(r) == row.max_len);
    const auto useful = [&](Allocation a) { return useful_fraction(r, {a, 16, row.max_len}); };
    CHECK(std::abs(useful(Allocation::reserved_max) - row.reserved) < .0006);
    CHECK(std::abs(useful(Allocation::buddy) - row.buddy) < .0006);
    CHECK(std::abs(useful(Allocation::reserved_exact) - row.exact) < .0006);
    CHECK(std::abs(useful(Allocation::paged) - row.paged) < .00006);
  }
}

TEST_CASE("prefix hits are whole blocks and never the last token") {
  CHECK(prefix_hit_tokens(100, 200, 16) == 96);
  CHECK(prefix_hit_tokens(96, 96, 16) == 80);
  CHECK(prefix_hit_tokens(15, 200, 16) == 0);
  CHECK(prefix_hit_tokens(0, 1, 16) == 0);
  // 2000 shared tokens, 64 requests: 125 whole blocks, 98.4 % of the prompt tokens saved.
  const auto saved = static_cast<double>(63 * prefix_hit_tokens(2000, 2001, 16));
  CHECK(saved == 126000);
  CHECK(63 * saved_flops(68.45e9, 80, 64, 128, 2000).value == Approx(1.76e16).epsilon(.01));
}

TEST_CASE("loading a prefix beats computing it above a bandwidth") {
  // Mooncake, LLaMA3-70B, 8192 tokens: 6 GB/s for 8xA800, 19 GB/s for 8xH800 at peak rate.
  const auto need = [](double flops) {
    return min_load_bandwidth(Throughput{flops}, 8192, 8, 8192, ElementSize{2}).value / giga;
  };
  CHECK(need(8 * 312e12) == Approx(5.9).epsilon(.01));
  CHECK(need(8 * 989.4e12) == Approx(18.6).epsilon(.01));
  CHECK(worth_storing(10, Seconds{10.2}, Seconds{.86}, 8 * 2.0 / 3600, 1e-6, Seconds{3600}));
  CHECK_FALSE(worth_storing(0.01, Seconds{.1}, Seconds{.05}, 2.0 / 3600, 1e-3, Seconds{86400}));
}

TEST_CASE("least recently used blocks lose the end of a prefix first") {
  LruBlocks cache(4);
  const std::int64_t a[] = {1, 2, 3}, b[] = {1, 9};
  CHECK(cache.use(a) == 0);
  CHECK(cache.use(b) == 1);  // 1 stays, order is now 1 9 2 3
  CHECK(cache.size() == 4);
  const std::int64_t c[] = {7};
  CHECK(cache.use(c) == 0);  // evicts 3, the leaf
  CHECK(cache.use(a) == 2);
}

TEST_CASE("token hit rates of public traces") {
  struct Row {
    const char* file;
    std::size_t blocks;
    double rate;
  };
  const std::size_t all = 1u << 30;
  const Row rows[] = {
      {"traces/mooncake_conversation.jsonl", all, .374},
      {"traces/mooncake_conversation.jsonl", 1000, .045},
      {"traces/mooncake_conversation.jsonl", 10000, .215},
      {"traces/mooncake_conversation.jsonl", 30000, .332},
      {"traces/mooncake_conversation.jsonl", 50000, .362},
      {"traces/mooncake_synthetic.jsonl", all, .651},
      {"traces/mooncake_synthetic.jsonl", 10000, .431},
      {"traces/sharegpt_llama31_8b_300.jsonl", all, .076},
  };
  for (const Row& row : rows) {
    CAPTURE(row.file);
    CAPTURE(row.blocks);
    KVROOF_NEED_REFERENCE(path, row.file);
    const Trace t = load_trace(path);
    LruBlocks cache(row.blocks);
    double hit = 0, tokens = 0;
    for (const Request& r : t.requests) {
      const auto found = static_cast<std::int64_t>(cache.use(t.hashes_of(r))) * t.hash_block;
      hit += static_cast<double>(std::min<std::int64_t>(found, r.prompt));
      tokens += r.prompt;
    }
    CHECK(std::abs(hit / tokens - row.rate) < .002);
  }
}

TEST_CASE("parallel samples and beams share their common blocks") {
  // 100 prompt tokens = 6 full blocks of 16; 4 samples to 130 tokens = 9 blocks each.
  const SharedBlocks s = parallel_sampling(100, 30, 4, 16);
  CHECK(s.shared == 6);
  CHECK(s.total == 6 + 4 * 3);
  CHECK(s.unshared == 36);
  CHECK(s.saving() == .5);
  CHECK(parallel_sampling(100, 30, 1, 16).saving() == 0);
  // Beams that agree longer share more; PagedAttention reports larger savings for them.
  CHECK(beam_search(100, 30, 20, 4, 16).total == 7 + 4 * 2);
  CHECK(beam_search(100, 30, 0, 4, 16).total == s.total);
}

TEST_CASE("recompute against swap, per token") {
  // Llama-3.1-8B on an H100 at half its peak, 50 GB/s host link; OPT-13B on an A100, 25 GB/s.
  CHECK(recompute_time(7.5e9, 1, Throughput{494.7e12}).value == Approx(30e-6).epsilon(.02));
  CHECK(swap_time(BytesPerToken{131072}, Tokens{1}, Bandwidth{50e9}).value ==
        Approx(5.2e-6).epsilon(.01));
  CHECK(recompute_time(12.85e9, 1, Throughput{156e12}).value == Approx(165e-6).epsilon(.01));
  CHECK(swap_time(BytesPerToken{819200}, Tokens{1}, Bandwidth{25e9}).value ==
        Approx(66e-6).epsilon(.01));
  const auto swap = [](double block) {
    return swap_time(BytesPerToken{131072}, Tokens{1024}, Bandwidth{50e9}, block, Seconds{10e-6});
  };
  CHECK(swap(1) > swap(16));
  CHECK(swap(16) > swap_time(BytesPerToken{131072}, Tokens{1024}, Bandwidth{50e9}));
  CHECK(can_thrash(Tokens{50000}, Tokens{41408}));
  CHECK_FALSE(can_thrash(Tokens{41408}, Tokens{41408}));
}

TEST_CASE("expected tokens of speculation: Leviathan, and a Monte Carlo of it") {
  CHECK(expected_tokens(.8, 4) == Approx(3.3616));
  CHECK(expected_tokens(1, 4) == 5);
  CHECK(expected_tokens(0, 4) == 1);
  CHECK(expected_tokens(std::vector<double>{.8, .8, .8, .8}) == Approx(3.3616));
  CHECK(acceptance_from_tokens(3.3616, 4) == Approx(.8));
  Rng rng(3);
  double tokens = 0;
  for (int i = 0; i < 200000; ++i) {
    int kept = 0;
    while (kept < 4 && rng.uniform() < .8) ++kept;
    tokens += kept + 1;
  }
  CHECK(tokens / 200000 == Approx(3.3616).epsilon(.005));
}

TEST_CASE("best number of guesses") {
  struct Row {
    double a, c;
    int g;
    double s;
  };
  const Row rows[] = {
      {.6, .01, 7, 2.30},  {.6, .05, 4, 1.92},  {.6, .1, 3, 1.67},  {.6, .2, 2, 1.40},
      {.7, .01, 9, 2.97},  {.7, .05, 6, 2.35},  {.7, .1, 4, 1.98},  {.7, .2, 3, 1.58},
      {.8, .01, 14, 4.23}, {.8, .05, 8, 3.09},  {.8, .1, 6, 2.47},  {.8, .2, 4, 1.87},
      {.9, .01, 24, 7.49}, {.9, .05, 13, 4.67}, {.9, .1, 10, 3.43}, {.9, .2, 7, 2.37}};
  for (const Row& r : rows) {
    CAPTURE(r.a);
    CAPTURE(r.c);
    const BestGuesses b = best_guesses(r.a, r.c);
    CHECK(b.guesses == r.g);
    CHECK(b.speedup == Approx(r.s).epsilon(.002));
    CHECK(b.speedup >= least_speedup(r.a, r.c));
  }
  CHECK(best_guesses(.2, .3).guesses == 0);  // a < c: no gain possible
  CHECK(best_guesses(.3, .3).guesses == 0);
  CHECK(break_even_acceptance(.3) == .3);
  // "2.7x net": right if .25 is the whole draft phase, 1.68x if it is one draft token.
  CHECK(expected_tokens(.8, 4) / 1.25 == Approx(2.69).epsilon(.001));
  CHECK(speedup(.8, 4, .25) == Approx(1.68).epsilon(.001));
}

TEST_CASE("speculation stops paying near B (g + 1) = ridge") {
  // 8B BF16 on an H100: 4.78 ms to read the weights, compute above 295 tokens, no cache.
  const VerifyTime target = [](double b, double t) {
    return max(Seconds{16e9 / 3.35e12}, Seconds{2 * 8e9 * b * t / 989.4e12});
  };
  const auto draft = [](double) { return Seconds{1e-4}; };
  CHECK(batch_speedup(.8, 4, 1, target, draft) ==
        Approx(3.3616 / (1 + 4e-4 / 4.776e-3)).epsilon(1e-3));
  const int most = largest_gaining_batch(.8, 4, target, draft);
  // E t1 = 4 t_d + 2 P B (g+1)/F at the edge, by hand: B = (3.3616*4.776e-3 - 4e-4) F/(2P*5).
  CHECK(most == static_cast<int>((3.3616 * 16e9 / 3.35e12 - 4e-4) * 989.4e12 / (16e9 * 5)));
  CHECK(most > 295 / 5);
  CHECK(batch_speedup(.8, 4, most + 1, target, draft) < 1);
  CHECK(break_even_at_batch(4, most, target, draft) == Approx(.8).epsilon(.01));
  CHECK(break_even_at_batch(4, 1000, target, draft) > .99);  // harm whatever the acceptance
}

TEST_CASE("trees: Medusa, EAGLE, and what a speculative step costs") {
  const std::vector<TreeNode> chain = {{.8, -1}, {.8, 0}, {.8, 1}, {.8, 2}};
  CHECK(tree_tokens(chain) == Approx(3.3616));  // a chain is Leviathan's formula
  const std::vector<TreeNode> medusa = medusa_tree({{.6, .2}, {.5, .1}});
  CHECK(medusa.size() == 2 + 4);
  CHECK(tree_tokens(medusa) == Approx(1 + .8 + .8 * .6));
  // EAGLE on an 8B: one layer of 218 M and an lm_head of 525 M over 7.5 B.
  CHECK(eagle_draft_cost(218e6, 525e6, 7.5e9) == Approx(.099).epsilon(.002));
  CHECK(self_speculative_draft_cost(16, 32) == .5);
  CHECK(tree_speedup(4, 4, .1, 1.2) == 2.5);
  // DeepSeek-R1 on 8xB200, MTP 1..5: lengths and output rates; a plain step makes 111 tok/s.
  const double length[] = {1.92, 2.58, 2.82, 2.99, 3.01}, rate[] = {198, 250, 253, 245, 239};
  const double cost[] = {1.08, 1.15, 1.24, 1.35, 1.40};
  for (int k = 0; k < 5; ++k)
    CHECK(implied_step_cost(length[k], rate[k] / 111) == Approx(cost[k]).epsilon(.005));
}

TEST_CASE("verifying a MoE touches more experts") {
  const double plain = experts_touched(256, 8, 1);
  CHECK(plain == 8);
  CHECK(moe_verify_penalty(256, 8, 1, 1, Bytes{}, Bytes{1}) == Approx(15.8 / 8).epsilon(.01));
  CHECK(moe_verify_penalty(256, 8, 1, 3, Bytes{}, Bytes{1}) == Approx(30.5 / 8).epsilon(.01));
  CHECK(moe_verify_penalty(256, 8, 4096, 3, Bytes{}, Bytes{1}) == Approx(1));
  Rng rng(11);
  double touched = 0;
  for (int t = 0; t < 2000; ++t) {
    bool seen[128] = {};
    for (int i = 0; i < 32; ++i)
      for (int k = 0; k < 8;) {  // distinct within a token: retry on repeats
        bool fresh = true;
        static int mine[8];
        const int e = static_cast<int>(rng.below(128));
        for (int j = 0; j < k; ++j) fresh &= mine[j] != e;
        if (fresh) mine[k++] = e, seen[e] = true;
      }
    for (const bool s : seen) touched += s;
  }
  CHECK(experts_touched(128, 8, 32) == Approx(touched / 2000).epsilon(.02));
}

TEST_CASE("moving a 70B cache, and what of it is seen") {
  const BytesPerToken kv{327680};
  const auto ms = [&](double gbps) {
    return kv_transfer_time(Tokens{8192}, kv, Bandwidth{gbps * giga}).value / milli;
  };
  CHECK(ms(50) == Approx(53.7).epsilon(.001));
  CHECK(ms(400) == Approx(6.7).epsilon(.002));
  CHECK(ms(450) == Approx(6.0).epsilon(.01));
  CHECK(visible_transfer(Seconds{.0537}, Seconds{.4}, 80).value == Approx(.0537 / 80));
  CHECK(visible_transfer(Seconds{.5}, Seconds{.4}, 80).value == Approx(.5 / 80 + .1));
}

TEST_CASE("prefill queues") {
  const Seconds one{1};
  CHECK(prefill_ttft(.3, one).value == Approx(1.214).epsilon(.001));
  CHECK(prefill_ttft(.6, one).value == Approx(1.750).epsilon(.001));
  CHECK(prefill_ttft(.9, one).value == Approx(5.50).epsilon(.001));
  CHECK(prefill_ttft_inter_op(.9, one).value == Approx(1 + .9 / 4.4));
  CHECK(prefill_ttft_intra_op(.9, one, 2).value == Approx(.5 + .9 / (4 * 1.1)));
  CHECK(prefill_ttft_intra_op(.9, one, 1).value == Approx(prefill_ttft(.9, one).value));
  CHECK_THROWS_AS(prefill_ttft(1, one), std::domain_error);
  // M/G/1 with a constant service is M/D/1; two-point service by hand: E[S²] = (1 + 9)/2.
  const Seconds same[] = {one, one}, mixed[] = {Seconds{1}, Seconds{3}};
  CHECK(queue_wait(.6, same).value == Approx(.75));
  CHECK(queue_wait(.25, mixed).value == Approx(.25 * 5 / (2 * .5)));
}

TEST_CASE("pools of DeepSeek's published day") {
  // 608e9 input tokens at 73.7k a node, 168e9 output tokens at 14.8k a node: 226.75 nodes stated.
  const double prefill = prefill_instances(608e9 / 86400, Seconds{1 / 73.7e3}, 1);
  const double decode = decode_instances(168e9 / 86400, 1, Seconds{1 / 14.8e3}, 1, 1);
  CHECK(prefill == Approx(95.5).epsilon(.001));
  CHECK(decode == Approx(131.4).epsilon(.001));
  CHECK(prefill + decode == Approx(226.75).epsilon(.001));
}
