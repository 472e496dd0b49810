// The harness itself, on a GPU: fills, poison, comparison, timing.
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/bench.hpp"
#include "kernels/data.hpp"

using namespace kvroof;
using namespace kvroof::kernels;
using doctest::Approx;

TEST_CASE(
    "random fills have the asked spread, differ from call to call, and repeat with their seed") {
  for (const Dtype d : {Dtype::fp32, Dtype::bf16, Dtype::fp16, Dtype::fp8}) {
    const Buffer a(1 << 20);
    fill_random(a, d, 7, 0.5f);
    const std::vector<float> x = to_floats(a, d);
    double sum = 0, squares = 0;
    for (const float v : x) sum += v, squares += double{v} * v;
    const auto n = static_cast<double>(x.size());
    CHECK(std::abs(sum / n) < 0.5 * 5 / std::sqrt(n) + 1e-3);
    CHECK(std::sqrt(squares / n) == Approx(0.5).epsilon(0.02));
    fill_random(a, d, 8, 0.5f);
    CHECK(to_floats(a, d) != x);
    fill_random(a, d, 7, 0.5f);
    CHECK(to_floats(a, d) == x);
  }
  CHECK(fresh_seed() != fresh_seed());
}

TEST_CASE("poison is NaN in every floating format, and compare does not let it pass") {
  for (const Dtype d : {Dtype::fp32, Dtype::bf16, Dtype::fp16, Dtype::fp8}) {
    const Buffer b(64);
    poison(b);
    for (const float v : to_floats(b, d)) CHECK(std::isnan(v));
  }
  const std::vector<double> ref{1, 2, 3, -INFINITY};
  CHECK(compare(ref, std::vector<float>{1, 2, 3, -INFINITY}, 1e-6).ok);
  CHECK_FALSE(compare(ref, std::vector<float>{1, 2, NAN, -INFINITY}, 1e-6).ok);
  CHECK_FALSE(compare(ref, std::vector<float>{1, 2, 3, 0}, 1e-6).ok);
  CHECK_FALSE(compare(ref, std::vector<float>{1, 2, 3}, 1e-6).ok);
  CHECK_FALSE(compare({}, {}, 1e-6).ok);
  CHECK(compare(ref, std::vector<float>{1, 2, 3.0003f, -INFINITY}, 1e-3).ok);
}

TEST_CASE("one wrong element among many fails although the norm is small") {
  const std::vector<double> ref(100000, 1.0);
  std::vector<float> out(ref.size(), 1.0f);
  out[500] = 2;
  const Verdict v = compare(ref, out, 1e-2);
  CHECK(v.relative_error < 1e-2);
  CHECK_FALSE(v.ok);
}

TEST_CASE("percentiles of 0 … 100") {
  std::vector<double> x;
  for (int i = 100; i >= 0; --i) x.push_back(i);
  const Stats s = stats(x);
  CHECK(s.median == 50);
  CHECK(s.p5 == Approx(5));
  CHECK(s.p95 == Approx(95));
  CHECK(rate(100, s).p5 == Approx(100 / 95.0));
}

TEST_CASE("timing: four times the bytes take four times the time, and cold is slower than warm") {
  const Entry* read = find_entry("hbm_read");
  REQUIRE(read);
  const auto seconds = [&](double mib, const Timing& t) {
    return time_case(read->make({{"mib", mib}, {"bulk", 0}, {"blocks_per_sm", 1}}), t).median;
  };
  CHECK(seconds(4096, {}) / seconds(1024, {}) == Approx(4).epsilon(0.05));
  CHECK(seconds(16.5, {.l2 = L2::cold}) > 1.2 * seconds(16.5, {}));
}
