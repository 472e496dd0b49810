#include "model/attention/paged_decode.hpp"

#include <doctest/doctest.h>

#include "model/attention/flash_decoding.hpp"
#include "model/attention/gqa_decode.hpp"

using namespace kvroof;
using namespace kvroof::attention;

TEST_CASE("only the last page wastes slots: fewer than a block per request") {
  // arXiv:2309.06180 section 4.1; mean 7.5 slots at 16 tokens a page
  CHECK(wasted_slots(16, 16) == 0);
  CHECK(wasted_slots(17, 16) == 15);
  CHECK(pages(1000, 16) == 63);
  double waste = 0;
  for (int s = 1; s <= 1600; ++s) waste += wasted_slots(s, 16);
  CHECK(waste / 1600 == 7.5);
}

TEST_CASE("the block table costs 4 bytes a page and nothing else differs from flash_decoding") {
  const AttentionShape x{.b = 8, .s_kv = 4000, .h_q = 32, .h_kv = 8};
  const Work flat = flash_decoding(x, {}, {}, {}).work;
  Work paged = paged_decode(x, {}, {}, {.block_size = 16}).work;
  CHECK((paged.read.kv - flat.read.kv).value == 4 * 8 * 250);
  CHECK((paged.l2_to_sm - flat.l2_to_sm).value == 8 * 4 * 8 * 250);
  paged.read.kv = flat.read.kv, paged.l2_to_sm = flat.l2_to_sm;
  CHECK(paged == flat);
}

TEST_CASE("vLLM's kernels: a block per query head reads the group's K/V G times from L2") {
  const AttentionShape x{.b = 4, .s_kv = 4096, .h_q = 32, .h_kv = 8};
  const Options vllm{.tile = Tile{.m = 1, .n = 16}, .packed_group = false, .partition = 512};
  const Work w = paged_decode(x, {}, {}, vllm).work;
  const Bytes kv{4. * 8 * 4096 * 256 * 2}, q{4. * 32 * 128 * 2};
  const Bytes partials{4. * 32 * 8 * (128 * 2 + 8)};  // output format and two fp32 scalars
  const Bytes table{4. * 4 * 256};
  CHECK(w.read.kv == kv + table);
  CHECK(w.l2_to_sm == 4 * kv + 8 * q + partials + 32 * table);
  CHECK(w.ctas == 4 * 32 * 8);  // heads, sequences, partitions of 512
  CHECK(w.launches == 2);
  CHECK(w.flops_executed == Flops{});  // no tensor cores
  CHECK(w.fp32 > w.flops);
}

TEST_CASE("version 1 walks the cache in one block") {
  const AttentionShape x{.b = 4, .s_kv = 4096, .h_q = 32, .h_kv = 8};
  const Work w = paged_decode(x, {}, {}, {.packed_group = false, .paged_version = 1}).work;
  CHECK(w.ctas == 4 * 32);
  CHECK(w.launches == 1);
  CHECK(w.written == gqa_decode(x, {}, {}, {}).work.written);
}
