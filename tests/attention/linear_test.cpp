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

TEST_CASE("a prompt costs time proportional to its length") {
  const auto flops = [](double s) {
    return linear({.s_q = s, .s_kv = s, .h_q = 16, .h_kv = 16}, {}, {}, {.chunk = 64})
        .work.flops.value;
  };
  // per token and head: 64·(128 + 128) inside the chunk, 4·128·128 with the state
  CHECK(flops(4096) == 4096. * 16 * (64 * 256 + 4 * 128 * 128));
  CHECK(flops(8192) == 2 * flops(4096));
}
