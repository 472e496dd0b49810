#include "model/attention/ragged.hpp"

#include <doctest/doctest.h>

#include <array>

#include "model/attention/gqa_decode.hpp"

using namespace kvroof;
using namespace kvroof::attention;

namespace {
constexpr AttentionShape kHeads{.h_q = 32, .h_kv = 8};
}

TEST_CASE("chunks of a prompt re-read the cache: s·(s/chunk + 1)/2 tokens") {
  // 8192 tokens in chunks of 512: 512·16·17/2 = 69,632, 8.5 times the prompt
  CHECK(chunked_kv_tokens(8192, 512) == 69632);
  CHECK(chunked_kv_tokens(8192, 8192) == 8192);
  CHECK(chunked_kv_tokens(1000, 512) == 1512);
  double bytes = 0, flops = 0;
  for (int i = 0; i < 16; ++i) {
    const std::array chunk{RequestGroup{.s_q = 512, .cached = 512. * i}};
    const Work w = ragged(chunk, kHeads, {}, {}, {}).work;
    bytes += w.read.kv.value, flops += w.flops.value;
  }
  CHECK(bytes == chunked_kv_tokens(8192, 512) * 8 * 256 * 2);
  const std::array whole{RequestGroup{.s_q = 8192}};
  CHECK(flops == ragged(whole, kHeads, {}, {}, {}).work.flops.value);  // chunking adds no product
}

TEST_CASE("a ragged launch costs the sum of its requests, in one kernel") {
  const std::array lengths{RequestGroup{.requests = 3, .s_q = 100},
                           RequestGroup{.s_q = 700, .cached = 50},
                           RequestGroup{.requests = 8, .s_q = 1, .cached = 900}};
  const Work all = ragged(lengths, kHeads, {}, {}, {}).work;
  CHECK(all.launches == 1);
  // by hand: 3·100 + 750 + 8·901 tokens of cache, against 12·901 for a padded batch
  CHECK(all.read.kv.value == (300. + 750 + 7208) * 8 * 256 * 2);
  CHECK(all.flops.value == 2. * 32 * 256 * (3 * 5000. + 700 * 400. + 8 * 900.5));
}

TEST_CASE("verifying k + 1 drafted tokens reads the cache once") {
  // arXiv:2211.17192: the verify step's bytes are those of one decode step,
  // its products k + 1 times
  const std::array verify{RequestGroup{.s_q = 5, .cached = 8187}};
  const Work w = ragged(verify, kHeads, {}, {}, {}).work;
  const Work one = gqa_decode({.s_kv = 8192, .h_q = 32, .h_kv = 8}, {}, {}, {}).work;
  CHECK(w.read.kv == one.read.kv);
  CHECK(w.flops / one.flops == doctest::Approx(5).epsilon(1e-3));
  CHECK(w.l2_to_sm.value ==
        doctest::Approx(w.hbm_read().value).epsilon(1e-3));  // 20 rows: one tile
}

TEST_CASE("a token tree adds one bit per pair of new tokens") {
  const AttentionShape x{.b = 2, .s_q = 64, .s_kv = 1064, .h_q = 32, .h_kv = 8};
  const Work chain = ragged(x, {}, {}, {}).work;
  const Work tree = ragged(x, {}, {}, {.tree_mask = true}).work;
  CHECK((tree.read.activations - chain.read.activations).value == 2 * 64 * 64 / 8);
  CHECK(tree.flops_executed == chain.flops_executed);
}

TEST_CASE("row tiles that start a wave later read the cache again") {
  // 512 tokens of 4 heads are 16 tiles of 128 rows; 264 blocks at work hold 16.5 such streams of
  // 8.4 MB, more than L2. They start in pairs: a stream meets 14/264 ends of a wave.
  const Tile tile{.m = 128, .n = 64, .ctas_per_sm = 2};
  const auto reread = [&](double requests, double cached) {
    const std::array chunks{RequestGroup{.requests = requests, .s_q = 512, .cached = cached}};
    return ragged(chunks, kHeads, {}, {.num_sms = 132}, {.tile = tile}).work.reread.value;
  };
  CHECK(reread(16, 15872) == doctest::Approx(14 / 264. * 16 * 8 * 16384 * 512));
  CHECK(reread(2, 15872) == 0);  // 256 blocks: one wave
  // 64 drafted tokens of 4 heads are two tiles, one pair:
  // DRAM reads on an H200 are 1107.4 MB, all compulsory.
  const std::array drafts{RequestGroup{.requests = 64, .s_q = 64, .cached = 4032}};
  CHECK(ragged(drafts, kHeads, {}, {.num_sms = 132}, {.tile = tile}).work.reread == Bytes{});
  CHECK(reread(16, 1536) < 1000);  // 1 MB each: L2 holds those at work
}
