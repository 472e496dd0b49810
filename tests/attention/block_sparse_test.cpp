#include "model/attention/block_sparse.hpp"

#include <doctest/doctest.h>

#include "model/attention/flash_v2.hpp"

using namespace kvroof;
using namespace kvroof::attention;

namespace {
constexpr AttentionShape kLong{.s_q = 8192, .s_kv = 8192, .h_q = 4, .h_kv = 4, .causal = false};
}

TEST_CASE("all blocks kept is flash_v2") {
  CHECK(block_sparse(kLong, {}, {}, {}).work == flash_v2(kLong, {}, {}, {}).work);
}

TEST_CASE("products, exponentials and K/V traffic are proportional to the sparsity") {
  // arXiv:2205.14135 Proposition 4: the N²d²/M term carries the sparsity, the N·d term does not.
  const Work full = flash_v2(kLong, {}, {}, {}).work;
  for (const double s : {0.5, 0.25, 0.0625}) {
    const Work w = block_sparse(kLong, {}, {}, {.sparsity = s}).work;
    CHECK(w.flops == s * full.flops);
    CHECK(w.flops_executed == s * full.flops_executed);
    CHECK(w.exps == s * full.exps);
    const Bytes blocks{4 * 4 * s * 64 * 128};  // 64 x 128 tiles of 128 x 64 a head
    CHECK(w.l2_to_sm - blocks - w.read.activations + blocks ==
          s * (full.l2_to_sm - full.read.activations));
    CHECK(w.read.activations == full.read.activations + blocks);
    CHECK(w.written == full.written);
  }
}

TEST_CASE("a key block is read as long as some row tile uses it") {
  const Work full = flash_v2(kLong, {}, {}, {}).work;
  // 64 row tiles, each keeping a tenth: 0.9^64 = 0.00118 of the key tiles are kept by none
  CHECK(block_sparse(kLong, {}, {}, {.sparsity = 0.1}).work.read.kv / full.read.kv ==
        doctest::Approx(1 - 0.00118).epsilon(1e-5));
  // one query row tile: what it skips is never read
  const AttentionShape tile{.s_q = 128, .s_kv = 8192, .causal = false};
  const Work w = block_sparse(tile, {}, {}, {.sparsity = 0.25}).work;
  CHECK(w.read.kv.value == 0.25 * 8192 * 256 * 2);
}

TEST_CASE("the last keys of a causal mask are seen by few rows, which may keep none of them") {
  // A quarter kept: of the last 128 keys 3/4 are read by none, then (3/4)², …; 3 tiles of 128 keys
  // in all, of 64.
  AttentionShape x{.b = 2, .s_q = 8192, .s_kv = 8192, .h_q = 16, .h_kv = 16};
  const Tile tile{.m = 128, .n = 64, .ctas_per_sm = 2};
  const Work w = block_sparse(x, {}, {}, {.tile = tile, .sparsity = 0.25}).work;
  CHECK(w.read.kv.value == doctest::Approx(61. / 64 * 2 * 16 * 8192 * 512).epsilon(1e-6));
  // DRAM reads on an H200, over d 64, 128, in bytes
  CHECK((w.hbm_read() + w.reread).value == doctest::Approx(195.8e6).epsilon(0.01));
  x = {.s_q = 16384, .s_kv = 16384, .h_q = 32, .h_kv = 32, .d_qk = 64, .d_v = 64};
  const Work narrow =
      block_sparse(x, {}, {}, {.tile = Tile{.m = 128, .n = 128}, .sparsity = 0.25}).work;
  CHECK((narrow.hbm_read() + narrow.reread).value == doctest::Approx(198.5e6).epsilon(0.01));
  // A mask that is known says it itself.
  const Options known{.tile = tile, .sparsity = 0.25, .kept_keys = 1};
  CHECK(block_sparse(x, {}, {}, known).work.read.kv.value == 32. * 16384 * 256);
}

TEST_CASE("tiles kept are whole, whatever the share rounds to") {
  const Tile tile{.m = 128, .n = 64, .row_ends = 4};
  const double kept = 12345, visited = 4 * 64 * 128;  // 4 heads of 64 x 128 tiles
  const Work w = block_sparse(kLong, {}, {}, {.tile = tile, .sparsity = kept / visited}).work;
  CHECK(w.flops_executed.value == kept * 4 * 128 * 64 * 128);
  CHECK(w.exps == kept * (128 * 64 + 128) + 4 * 8192 * 4);  // and 1 / l by four lanes a row
}
