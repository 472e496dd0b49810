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
