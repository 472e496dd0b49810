#include "model/attention/sliding_window.hpp"

#include <doctest/doctest.h>

#include "model/attention/flash_decoding.hpp"
#include "model/attention/flash_v3.hpp"

using namespace kvroof;
using namespace kvroof::attention;

TEST_CASE("Mistral's rolling cache holds 4096 of 32768 tokens: 8 times less") {
  // arXiv:2310.06825 section 2; 32 layers span 131,072 tokens
  CHECK(32768 / rolling_cache_tokens(32768, 4096, 0) == 8);
  CHECK(rolling_cache_tokens(1000, 4096, 4) == 1000);
  CHECK(rolling_cache_tokens(32768, 4096, 4) == 4100);
  const AttentionShape x{.s_kv = 32768, .h_q = 32, .h_kv = 8, .window = 4096};
  const Work w = sliding_window(x, {}, {}, {}).work;
  CHECK(w.read.kv.value == 4096. * 8 * 256 * 2);
  CHECK(sliding_window(x, {}, {}, {.sinks = 4}).work.read.kv.value == 4100. * 8 * 256 * 2);
}

TEST_CASE("decode bytes stop growing at the window") {
  const auto bytes = [](double s_kv) {
    const AttentionShape x{
        .s_kv = s_kv, .h_q = 64, .h_kv = 8, .d_qk = 64, .d_v = 64, .window = 128};
    return sliding_window(x, {}, {}, {}).work.hbm().value;
  };
  CHECK(bytes(64) < bytes(128));
  CHECK(bytes(128) == bytes(131072));  // gpt-oss: 128 of 131,072 tokens in every other layer
}

TEST_CASE("prefill visits the tiles of the band and of the sinks") {
  // 128 x 128 tiles, window 256, 4096 tokens: row tile i sees columns i-2 .. i (its first row
  // reaches 255 keys back, into the second tile before): 1 + 2 + 30·3 = 93 tiles. Sinks add tile 0
  // to the 29 row tiles that do not see it.
  const AttentionShape x{.s_q = 4096, .s_kv = 4096, .window = 256};
  const auto tiles = [&](double sinks) {
    const Options o{.tile = Tile{}, .sinks = sinks};
    return sliding_window(x, {}, {}, o).work.flops_executed.value / (4. * 128 * 128 * 128);
  };
  CHECK(tiles(0) == 93);
  CHECK(tiles(4) == 93 + 29);
  // pairs past the window tend to s_q·window: 256²/2 + 3840·256
  CHECK(sliding_window(x, {}, {}, {}).work.flops.value == 2 * (32768. + 3840 * 256) * 256);
}

TEST_CASE("a window over all keys is plain attention") {
  const AttentionShape prompt{.s_q = 3000, .s_kv = 5000, .h_q = 32, .h_kv = 8};
  AttentionShape token{.s_kv = 5000, .h_q = 32, .h_kv = 8};
  for (const double window : {5000., 1e6}) {
    AttentionShape p = prompt, t = token;
    p.window = t.window = window;
    CHECK(sliding_window(p, {}, {}, {}).work == flash_v3(prompt, {}, {}, {}).work);
    CHECK(sliding_window(t, {}, {}, {}).work == flash_decoding(token, {}, {}, {}).work);
  }
}
