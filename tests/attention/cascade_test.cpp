#include "model/attention/cascade.hpp"

#include <doctest/doctest.h>

#include "model/attention/flash_decoding.hpp"

using namespace kvroof;
using namespace kvroof::attention;

namespace {
// 64 requests after a system prompt of 2000 tokens, 48 of their own; 70B per GPU at TP8
constexpr AttentionShape kChat{.b = 64, .s_kv = 2048, .h_q = 8, .h_kv = 1};
}  // namespace

TEST_CASE("the shared prefix is read once instead of once per request") {
  const Work plain = flash_decoding(kChat, {}, {}, {}).work;
  const Work w = cascade(kChat, {}, {}, {.shared_prefix = 2000}).work;
  CHECK(w.read.kv.value == (2000 + 64 * 48.) * 256 * 2);
  CHECK((plain.read.kv - w.read.kv).value == 63 * 2000. * 256 * 2);
  CHECK(plain.read.kv / w.read.kv == doctest::Approx(25.8).epsilon(2e-3));
  CHECK(w.flops == plain.flops);
}

TEST_CASE("query rows of all requests share tiles over the prefix") {
  // 64 requests x 8 heads = 512 rows, 8 tiles of 64: the prefix crosses L2 -> SM 8 times, not 64.
  const Options o{.tile = Tile{.m = 64, .n = 64}, .splits = 1, .shared_prefix = 2000};
  const Work w = cascade(kChat, {}, {}, o).work;
  const double rows = 64 * 8;
  CHECK(w.l2_to_sm.value == (8 * 2000. + 64 * 48) * 256 * 2  // K/V
                                + 2 * rows * 128 * 2         // q, by both levels
                                + 2 * rows * 4 * 129);       // partial results
  CHECK(w.written.activations.value == 2 * rows * 4 * 129 + rows * 128 * 2);
  CHECK(w.read.activations.value == 2 * rows * 4 * 129 + rows * 128 * 2);
  CHECK(w.launches == 3);
}

TEST_CASE("without a prefix it is flash_decoding") {
  const Cost c = cascade(kChat, {}, {}, {}), plain = flash_decoding(kChat, {}, {}, {});
  CHECK(c.work == plain.work);
  CHECK(c.handed_over == plain.handed_over);
}

TEST_CASE("a window shortens the prefix it cuts into") {
  AttentionShape x = kChat;
  x.window = 1048;  // sees 1000 of the 2000 shared tokens
  CHECK(cascade(x, {}, {}, {.shared_prefix = 2000}).work.read.kv.value ==
        (1000 + 64 * 48.) * 256 * 2);
  x.window = 40;  // sees none of them
  CHECK(cascade(x, {}, {}, {.shared_prefix = 2000}).work == flash_decoding(x, {}, {}, {}).work);
}

TEST_CASE("partial results that the suffixes push out of L2 are read from HBM again") {
  // 64 requests, 8 heads on one K/V head: 512 rows of 4·129 bytes a part. The merge still finds the
  // prefix's two parts in 42 MB of L2 after 48 tokens each (1.6 MB), not after 4096 (134 MB).
  const CascadePlan plan{.prefix = {.m = 64}, .suffix = {.m = 16}, .prefix_splits = 2};
  const double part = 512 * 4 * 129;
  const OnChip chip{.l2_effective = Bytes{42e6}};
  AttentionShape x = kChat;
  CHECK(cascade(x, {}, chip, 2000, 0, plan).handed_over.value == doctest::Approx(2 * 3 * part));
  x.s_kv = 2000 + 4096;
  const double still = 42e6 / (64 * 4096 * 256 * 2 + part);  // of the suffixes' own
  CHECK(cascade(x, {}, chip, 2000, 0, plan).handed_over.value ==
        doctest::Approx(2 * still * part).epsilon(1e-4));
}

TEST_CASE("a shared block table names the prefix's pages once") {
  const CascadePlan plan{.prefix = {.m = 128}, .suffix = {.m = 16}};
  const Work with = cascade(kChat, {}, {}, 2000, 16, plan).work;
  const Work without = cascade(kChat, {}, {}, 2000, 0, plan).work;
  CHECK((with.read.kv - without.read.kv).value == 4 * (125 + 64 * 3));
  // read by each of the prefix's four row tiles, and by each request
  CHECK((with.l2_to_sm - without.l2_to_sm).value == 4 * (4 * 125 + 64 * 3));
}

TEST_CASE("its kernels: prefix, suffixes, merge") {
  // 512 query rows on one K/V head: four tiles of 128 over the prefix's two parts, and a block for
  // each request's 8 rows.
  const CascadePlan plan{.prefix = {.m = 128}, .suffix = {.m = 16}, .prefix_splits = 2};
  const auto [prefix, suffix, merge] = cascade_kernels(kChat, {}, {}, 2000, 16, plan);
  const double part = 512 * 4 * 129, q = 512 * 128 * 2;
  CHECK(prefix.work.ctas == 8);
  CHECK(suffix.work.ctas == 64);
  CHECK(merge.work.ctas == 512);
  CHECK(prefix.work.read.kv.value == 2000 * 256 * 2 + 4 * 125);
  CHECK(suffix.work.read.kv.value == 64 * (48 * 256 * 2 + 4 * 3));
  CHECK(prefix.work.read.activations.value == q);
  CHECK(suffix.work.read.activations.value == 0);
  CHECK(prefix.work.written.activations.value == 2 * part);
  CHECK(suffix.work.written.activations.value == part);
  CHECK(merge.work.read.activations.value == 3 * part);
  CHECK(merge.work.written.activations.value == q);
  for (const Cost& kernel : {prefix, suffix, merge}) CHECK(kernel.work.launches == 1);
  CHECK(prefix.work + suffix.work + merge.work == [&] {
    Work w = cascade(kChat, {}, {}, 2000, 16, plan).work;
    w.ctas += 512;  // the whole counts the levels' blocks
    return w;
  }());
}
