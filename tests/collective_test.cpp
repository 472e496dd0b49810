// Collectives by hand: bytes on the wire and the best algorithm.
#include "model/collective.hpp"

#include <doctest/doctest.h>

#include "model/elementwise.hpp"

using namespace kvroof;
using doctest::Approx;

namespace {

constexpr Link kNvlink{
    .bandwidth = Bandwidth{450e9}, .efficiency = 1, .latency = Seconds{3e-6}, .domain = 8};

Collective all_reduce(double bytes, int n) { return {CollectiveKind::all_reduce, n, Bytes{bytes}}; }

}  // namespace

TEST_CASE("one rank sends nothing and takes no time") {
  CHECK(sent_per_gpu(all_reduce(1e6, 1), false) == Bytes{});
  CHECK(link_time(all_reduce(1e6, 1), kNvlink) == Seconds{});
  CHECK(collective_work(all_reduce(1e6, 1)) == Work{});
}

TEST_CASE("all-reduce: 2(n-1)/n of the payload, (1+1/n) where the switch reduces") {
  CHECK(sent_per_gpu(all_reduce(8e6, 8), false).value == 14e6);
  CHECK(sent_per_gpu(all_reduce(8e6, 8), true).value == 9e6);
  // At most 2(n-1)/(n+1) = 1.556x at n = 8.
  CHECK(sent_per_gpu(all_reduce(1, 8), false) / sent_per_gpu(all_reduce(1, 8), true) ==
        Approx(14.0 / 9));
}

TEST_CASE("one-shot and two-shot cross at a·bw/((n-1)(1-2/n)): 257 KB at n = 8, 3 us, 450 GB/s") {
  const double crossover = 3e-6 * 450e9 / (7 * (1 - 2.0 / 8));
  CHECK(crossover == Approx(257142.86));
  const auto one_shot = [](double s) { return 3e-6 + 7 * s / 450e9; };
  const auto two_shot = [](double s) { return 6e-6 + 1.75 * s / 450e9; };
  CHECK(link_time(all_reduce(0.9 * crossover, 8), kNvlink).value ==
        Approx(one_shot(0.9 * crossover)));
  CHECK(link_time(all_reduce(1.1 * crossover, 8), kNvlink).value ==
        Approx(two_shot(1.1 * crossover)));
}

TEST_CASE("fused chains: the round trips saved") {
  const ElementSize bf16{2};
  const auto bytes = [](const Work& w) {
    return (w.read.activations + w.written.activations).value;
  };
  // Residual + norm: 4 passes fused; 5 in two kernels. SwiGLU: 3 against 5.
  CHECK(bytes(elementwise::residual_norm(10, 100, bf16, false, true)) == 4 * 10 * 100 * 2);
  CHECK(bytes(elementwise::residual_norm(10, 100, bf16, false, false)) == 5 * 10 * 100 * 2);
  CHECK(bytes(elementwise::activation(10, 100, bf16, true, true)) == 3 * 10 * 100 * 2);
  CHECK(bytes(elementwise::activation(10, 100, bf16, true, false)) == 5 * 10 * 100 * 2);
  CHECK(elementwise::residual_norm(10, 100, bf16, false, false).launches == 2);
  // The embedding is gathered: one row a token, whatever the vocabulary.
  CHECK(elementwise::embedding(7, 4096, bf16, bf16, false).read.weights.value == 7 * 4096 * 2);
  // New tokens only are written to the cache.
  CHECK(elementwise::rope_append(3, 4096, 2048, Bytes{4096}, bf16, 0, true).written.kv.value ==
        3 * 4096);
}

TEST_CASE("elementwise kernels ask L2 for weights and tables once a thread block") {
  const ElementSize bf16{2};
  // 8 rows of 64 bf16: 1024 bytes; weights 128 bytes, to 8 blocks or to the 2 that are asked for.
  CHECK(elementwise::norm(8, 64, bf16, false).l2_to_sm.value == 1024 + 8 * 128);
  CHECK(elementwise::norm(8, 64, bf16, false, 2).l2_to_sm.value == 1024 + 2 * 128);
  CHECK(elementwise::residual_norm(8, 64, bf16, false, true, 2).l2_to_sm.value == 2048 + 2 * 128);
  // 4 tokens at 3 distinct positions, d 128: rows of 64 (cos, sin) in fp32 are 512 bytes; position
  // and slot 8 bytes a token, for each of the two kernels of the unfused way.
  const elementwise::RopeTable table{.rows = 3, .row = Bytes{512}, .indices = Bytes{8}};
  const auto rope = [&](bool fused, const elementwise::RopeTable& t) {
    return elementwise::rope_append(4, 4096, 2048, Bytes{4096}, bf16, 0, fused, t);
  };
  CHECK((rope(true, table).hbm_read() - rope(true, {}).hbm_read()).value == 3 * 512 + 4 * 8);
  CHECK((rope(false, table).hbm_read() - rope(false, {}).hbm_read()).value == 3 * 512 + 2 * 4 * 8);
  CHECK((rope(true, table).l2_to_sm - rope(true, {}).l2_to_sm).value == 4 * 512 + 4 * 8);
}

TEST_CASE("a sigmoid is an exponential and a reciprocal on the XU pipe") {
  const ElementSize bf16{2};
  CHECK(elementwise::activation(3, 100, bf16, true, true).exps == 2 * 300);
}

TEST_CASE("a send runs at the rate of copies where it was measured") {
  Link link = kNvlink;
  const Collective send{.kind = CollectiveKind::send, .ranks = 2, .payload = Bytes{256e6}};
  const double fixed = (link.base + link.latency).value;
  CHECK(link_time(send, link).value ==
        doctest::Approx(fixed + 256e6 / (link.efficiency * link.bandwidth.value)));
  link.copied = Bandwidth{394.3e9};  // two H200s: reports/h200-sxm-141gb/link.csv
  CHECK(link_time(send, link).value == doctest::Approx(fixed + 649.25e-6).epsilon(1e-4));
  CHECK(link_time(all_reduce(256e6, 2), link) == link_time(all_reduce(256e6, 2), kNvlink));
}
