// Static, continuous and chunked batching, graph padding, parallel cuts, cost: published figures
// and hand arithmetic.
#include <doctest/doctest.h>

#include <vector>

#include "model/serving/chunked_prefill.hpp"
#include "model/serving/continuous_batching.hpp"
#include "model/serving/cost.hpp"
#include "model/serving/graph_padding.hpp"
#include "model/serving/parallelism.hpp"
#include "model/serving/retrieval.hpp"
#include "model/serving/rng.hpp"
#include "model/serving/static_batching.hpp"
#include "model/serving/traces.hpp"
#include "tests/serving/reference_data.hpp"

using namespace kvroof;
using namespace kvroof::serving;
using doctest::Approx;

TEST_CASE("a static batch of exponential lengths is used 1/H_B") {
  CHECK(harmonic(4) == Approx(25.0 / 12));
  CHECK(static_utilisation_exponential(8) == Approx(.368).epsilon(.002));
  CHECK(static_utilisation_exponential(32) == Approx(.246).epsilon(.002));
  CHECK(static_utilisation_exponential(64) == Approx(.211).epsilon(.002));
  CHECK(static_utilisation_exponential(256) == Approx(.163).epsilon(.002));
  CHECK(batch_forming_delay(2, 9).value == 2);
}

TEST_CASE("static utilisation by hand") {
  const std::vector<Lengths> r = {{10, 1}, {10, 3}, {10, 4}, {10, 4}, {10, 100}};  // last: partial
  CHECK(static_utilisation(r, 2) == Approx(12.0 / (2 * (3 + 4))));
  CHECK(refill_gain(static_utilisation(r, 2)) == Approx(14.0 / 12));
}

TEST_CASE("static utilisation and resident length of public traces") {
  struct Row {
    const char* file;
    double u8, u32, u64, u256, s_res;
  };
  const Row rows[] = {
      // recomputed from the files, batches in arrival order
      {"traces/azure_2023_code.csv", .268, .121, .085, .046, 2131},
      {"traces/azure_2023_conv.csv", .483, .384, .344, .272, 1227},
      {"traces/mooncake_conversation.jsonl", .481, .331, .268, .185, 13126},
      {"traces/sharegpt_llama31_8b_300.jsonl", .839, .807, .827, .794, 1204},
  };
  for (const Row& row : rows) {
    CAPTURE(row.file);
    KVROOF_NEED_REFERENCE(path, row.file);
    const std::vector<Lengths> r = lengths(load_trace(path));
    CHECK(std::abs(static_utilisation(r, 8) - row.u8) < .0006);
    CHECK(std::abs(static_utilisation(r, 32) - row.u32) < .0006);
    CHECK(std::abs(static_utilisation(r, 64) - row.u64) < .0006);
    CHECK(std::abs(static_utilisation(r, 256) - row.u256) < .0006);
    CHECK(resident_length(r) == Approx(row.s_res).epsilon(.0005));
  }
}

TEST_CASE("continuous batching: slots, Little, closed-loop interference") {
  CHECK(effective_batch(256, Tokens{41408}, 1204) == Approx(34.39).epsilon(.001));
  CHECK(effective_batch(16, Tokens{41408}, 1204) == 16);
  CHECK(requests_in_system(5, Seconds{4}) == 20);
  // 8 requests, 100 output tokens, 50 ms prefills: 7/100 of a prefill in each step.
  CHECK(closed_loop_step(Seconds{.01}, Seconds{.05}, 8, 100).value == Approx(.0135));
  CHECK(closed_loop_step(Seconds{.01}, Seconds{.05}, 1, 100).value == .01);
}

TEST_CASE("ridge in tokens of public GPUs, and the re-read of chunks") {
  const ElementSize bf16{2}, fp8{1}, nvfp4{.5625};
  CHECK(ridge_tokens(Throughput{312e12}, bf16, Bandwidth{2.039e12}) == Approx(153).epsilon(.005));
  CHECK(ridge_tokens(Throughput{989.4e12}, bf16, Bandwidth{3.35e12}) == Approx(295).epsilon(.005));
  CHECK(ridge_tokens(Throughput{1978.9e12}, fp8, Bandwidth{3.35e12}) == Approx(295).epsilon(.005));
  CHECK(ridge_tokens(Throughput{989.4e12}, bf16, Bandwidth{4.8e12}) == Approx(206).epsilon(.005));
  CHECK(ridge_tokens(Throughput{9e15}, nvfp4, Bandwidth{8e12}) == Approx(316).epsilon(.005));
  CHECK(free_chunk(295, 32) == 263);
  CHECK(free_chunk(295, 400) == 0);
  CHECK(kv_reread_tokens(8192, 256) == 16.5 * 8192);
  CHECK(kv_reread_tokens(8192, 512) == 8.5 * 8192);
  CHECK(kv_reread_tokens(8192, 1024) == 4.5 * 8192);
  CHECK(kv_reread_tokens(8192, 2048) == 2.5 * 8192);
  CHECK(piggyback_ratio(256, 17) == 16);
}

TEST_CASE("smaller chunks shorten gaps between tokens and lengthen TTFT") {
  const HybridStep h100{.weights = Bytes{16e9},
                        .params = 8e9,
                        .peak = Throughput{989.4e12},
                        .hbm = Bandwidth{3.35e12},
                        .overhead = Seconds{1e-3}};
  ChunkedLatency last = chunked_latency(h100, 8192, 8192, 32, Bytes{4e9}, BytesPerToken{131072});
  for (const double chunk : {4096., 2048., 1024., 512.}) {
    const ChunkedLatency l =
        chunked_latency(h100, 8192, chunk, 32, Bytes{4e9}, BytesPerToken{131072});
    CHECK(l.tbt < last.tbt);
    CHECK(l.ttft > last.ttft);
    last = l;
  }
  // One step by hand: 2 * 8e9 * 1056 flops / peak over the weights' 4.78 ms, KV 1.19 ms, 1 ms more.
  CHECK(hybrid_step(h100, 1056, Bytes{4e9}).value ==
        Approx(2 * 8e9 * 1056 / 989.4e12 + 4e9 / 3.35e12 + 1e-3));
}

TEST_CASE("captured graph sizes and their waste") {
  const std::vector<int> fine = captured_sizes(512), coarse = power_of_two_sizes(512);
  CHECK(padded_batch(3, fine) == 4);
  CHECK(padded_batch(9, fine) == 16);
  CHECK(padded_batch(257, fine) == 272);
  CHECK(padded_batch(600, fine) == 600);  // eager
  CHECK(fine.size() == 3 + 32 + 16);
  CHECK(padding_waste(257, coarse) == Approx(255.0 / 512));  // near one half at worst
  CHECK(padding_waste(256, coarse) == 0);
}

TEST_CASE("pipeline bubbles and expert traffic") {
  CHECK(pipeline_bubble(4, 4) == Approx(3.0 / 7));
  CHECK(pipeline_bubble(1, 9) == 0);
  // A token passes all weights whatever the number of stages.
  CHECK(pipelined_token_time(8, Bytes{140e9}, Bytes{10e9}, Bandwidth{3.35e12}).value ==
        Approx(150e9 / 3.35e12));
  // DeepSeek-V3: 8 experts, 7168 wide, FP8 out and BF16 back.
  CHECK(expert_bytes_per_token(8, 7168, ElementSize{1}, ElementSize{2}, 1 << 20).value ==
        Approx(57344 + 114688).epsilon(1e-5));
  CHECK(expert_bytes_per_token(8, 7168, ElementSize{1}, ElementSize{0}, 8).value ==
        57344 * 7.0 / 8);
  CHECK(kv_replication(16, 8) == 2);
  CHECK(kv_replication(4, 8) == 1);
}

TEST_CASE("uneven experts: closed form against published figures and a Monte Carlo") {
  struct Row {
    int ranks, tokens;
    double expected;
  };
  const Row rows[] = {{8, 64, 1.18},  {8, 256, 1.09},  {8, 1024, 1.04},
                      {32, 64, 1.53}, {32, 256, 1.27}, {32, 1024, 1.13},
                      {64, 64, 1.90}, {64, 256, 1.44}, {64, 1024, 1.22}};
  for (const Row& r : rows) {
    CAPTURE(r.ranks);
    CAPTURE(r.tokens);
    CHECK(rank_imbalance(256, 8, r.ranks, r.tokens) == Approx(r.expected).epsilon(.01));
  }
  Rng rng(7);
  double sum = 0;
  const int trials = 400, tokens = 64, ranks = 16;
  for (int t = 0; t < trials; ++t) {
    int load[ranks] = {};
    for (int i = 0; i < tokens; ++i) {
      int chosen[8];
      for (int k = 0; k < 8; ++k) {  // distinct experts
        bool again = true;
        while (again) {
          chosen[k] = static_cast<int>(rng.below(256));
          again = false;
          for (int j = 0; j < k; ++j) again |= chosen[j] == chosen[k];
        }
        ++load[chosen[k] / (256 / ranks)];
      }
    }
    int fullest = 0;
    for (const int n : load) fullest = std::max(fullest, n);
    sum += fullest / (tokens * 8.0 / ranks);
  }
  CHECK(rank_imbalance(256, 8, ranks, tokens) == Approx(sum / trials).epsilon(.02));
}

TEST_CASE("retrieval at 4K against a 128K prompt: 69x compute, 32x cache") {
  // Llama-3.1-70B: 68.5e9 parameters in the layers' matmuls, 80 layers, 64 heads of 128.
  const PromptModel llama{68.45e9, 80, 64, 128, BytesPerToken{327680}};
  const PromptCost full = prompt_cost(llama, Tokens{131072});
  CHECK(full.linear.value == Approx(1.79e16).epsilon(.01));
  CHECK(full.attention.value == Approx(2.25e16).epsilon(.01));
  CHECK(full.kv.value == Approx(42.9e9).epsilon(.002));
  const ContextRatio ratio = long_context_over_retrieval(llama, Tokens{131072}, Tokens{4096});
  CHECK(ratio.compute == Approx(69).epsilon(.01));
  CHECK(ratio.kv == 32);
}

TEST_CASE("dollars per million tokens") {
  CHECK(usd_per_million_tokens(1, 2, TokenRate{1000}) == Approx(.556).epsilon(.001));
  CHECK(usd(226.75 * 8, 2, Seconds{86400}) == Approx(87072));  // DeepSeek's published day
}
