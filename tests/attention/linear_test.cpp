#include "model/attention/linear.hpp"

#include <doctest/doctest.h>

using namespace kvroof;
using namespace kvroof::attention;

TEST_CASE("a decoded token reads and writes the state, whatever the context") {
  // fp32 state of 128 x 128 a head: 64 KiB read, 64 KiB written; q·S and k^T·v are 4·128·128 FLOP
  const auto token = [](double s_kv) {
    return linear({.s_kv = s_kv, .h_q = 16, .h_kv = 16}, {}, {}, {}).work;
  };
  CHECK(token(1000) == token(1e6));
  CHECK(token(1000).read.kv.value == 16 * 65536);
  CHECK(token(1000).written.kv.value == 16 * 65536);
  CHECK(token(1000).flops.value == 16 * 4. * 128 * 128);
  CHECK(token(1).read.kv == Bytes{});  // the first token has no past
}

TEST_CASE("gated delta rule: 7 FLOP a cell of the state, q and k of shared heads read once") {
  // Qwen3.5: 16 heads of q and k, 64 states of 128 x 128
  const AttentionShape x{.s_kv = 1000, .h_q = 16, .h_kv = 64};
  const Work w = linear(x, {}, {}, {.delta_rule = true}).work;
  CHECK(w.flops.value == 64 * 7. * 128 * 128);
  CHECK(w.read.kv.value == 64 * 65536);
  CHECK(w.read.activations.value == (2 * 16 + 64) * 128 * 2);
  CHECK(w.written.activations.value == 64 * 128 * 2);
}

TEST_CASE("gated delta rule: chunks hand over W, U, T and a state each through memory") {
  const AttentionShape x{.s_q = 4096, .s_kv = 4096, .h_q = 16, .h_kv = 64};
  const Work plain = linear(x, {}, {}, {}).work;
  const Work delta = linear(x, {}, {}, {.delta_rule = true}).work;
  // a token and head: W 128, U 128, T 64, and 128·128 / 64 of the state before its chunk
  CHECK((delta.read.activations - plain.read.activations).value == 4096 * 64. * 2 * (320 + 256));
  CHECK(delta.written.activations - plain.written.activations ==
        delta.read.activations - plain.read.activations);
  // k·k^T, W and U inside a chunk, W·S across: 64·(3·128) + 2·128·128
  CHECK((delta.flops - plain.flops).value == 4096 * 64. * (64 * 384 + 2 * 128 * 128));
}

TEST_CASE("a prompt costs time proportional to its length") {
  const auto flops = [](double s) {
    return linear({.s_q = s, .s_kv = s, .h_q = 16, .h_kv = 16}, {}, {}, {.chunk = 64})
        .work.flops.value;
  };
  // per token and head: 64·(128 + 128) inside the chunk, 4·128·128 with the state
  CHECK(flops(4096) == 4096. * 16 * (64 * 256 + 4 * 128 * 128));
  CHECK(flops(8192) == 2 * flops(4096));
}
