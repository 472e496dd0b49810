// What operator benchmarks launch, against hand arithmetic and published times.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/accuracy/expert_rows.hpp"
#include "model/accuracy/moe_operator.hpp"
#include "model/accuracy/nccl.hpp"
#include "model/accuracy/operator_row.hpp"
#include "model/accuracy/trtllm_attention.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"

using namespace kvroof;
using namespace kvroof::accuracy;
using doctest::Approx;

namespace {

Machine gpu(const char* id) { return to_machine(load_profile(find_profile(id, search_roots()))); }

double sum(const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0); }

}  // namespace

TEST_CASE("evenly dealt tokens: 64 of top-8 give each of 256 experts two rows") {
  const auto all = expert_rows({.tokens = 64, .top_k = 8, .experts = 256}, 0);
  CHECK(all == std::vector<double>(256, 2.0));
  const auto eighth = expert_rows({.tokens = 64, .top_k = 8, .experts = 256, .ranks = 8}, 0);
  CHECK(eighth == std::vector<double>(32, 2.0));
  CHECK(expert_rows({.tokens = 1, .top_k = 8, .experts = 256}, 0) == std::vector<double>(8, 1.0));
}

TEST_CASE("tokens by a power law: no expert has a token twice, no pair is lost") {
  for (const double tokens : {1.0, 7.0, 64.0, 1000.0, 16384.0})
    for (unsigned draw = 0; draw < 5; ++draw) {
      const auto rows =
          expert_rows({.tokens = tokens, .top_k = 8, .experts = 256, .exponent = 1.2}, draw);
      CHECK(sum(rows) == Approx(8 * tokens));
      CHECK(*std::max_element(rows.begin(), rows.end()) <= tokens);
      CHECK(std::all_of(rows.begin(), rows.end(),
                        [](double r) { return r >= 1 && r == std::floor(r); }));
    }
}

TEST_CASE("exponent 1 is log-uniform and next to 1.0001; absurd numbers of experts are refused") {
  const auto rows = [](double exponent) {
    return expert_rows({.tokens = 512, .top_k = 4, .experts = 64, .exponent = exponent}, 3);
  };
  const auto one = rows(1), beside = rows(1.0001);
  REQUIRE(one.size() == beside.size());
  for (std::size_t i = 0; i < one.size(); ++i) CHECK(std::abs(one[i] - beside[i]) <= 2);
  CHECK_THROWS(operator_time({.table = OperatorTable::moe, .shape = {1, 64, 64, 8, 1e9, 1, 1, 1.2}},
                             gpu("h100-sxm-80gb")));
}

TEST_CASE("the busiest of 32 ranks has more than its share, which a load balancer takes away") {
  const Routing as_drawn{.tokens = 4096, .top_k = 8, .experts = 256, .ranks = 32, .exponent = 1.01};
  Routing moved = as_drawn;
  moved.slots = 256;
  Routing copied = as_drawn;
  copied.slots = 288;
  const double share = 4096 * 8 / 32.0;
  for (unsigned draw = 0; draw < 5; ++draw) {
    const double drawn = sum(expert_rows(as_drawn, draw));
    const double better = sum(expert_rows(moved, draw)), best = sum(expert_rows(copied, draw));
    CHECK(drawn > 1.2 * share);
    CHECK(better < drawn);
    CHECK(best <= better);
    CHECK(best >= share);
  }
}

TEST_CASE("a rank without routed tokens still sorts and writes all tokens of the call") {
  // 16,384 tokens of 7168 in BF16 are 235 MB, 70 us at 3.35 TB/s.
  const Machine m = gpu("h100-sxm-80gb");
  const MoeCall call{.routing = {.tokens = 16384, .top_k = 8, .experts = 256, .ranks = 256},
                     .here = 16384,
                     .hidden = 7168,
                     .inter = 2048};
  MoeCall few = call;
  few.here = 512;
  CHECK((moe_operator_time(call, m) - moe_operator_time(few, m)).value >
        15872 * 7168 * 2 / 3.35e12);
}

TEST_CASE("more experts than the library's top-k takes: four launches more, and a block a token") {
  const Machine m = gpu("h100-sxm-80gb");  // 2 us and a node of 1.3 us each
  const auto extra = [&](double tokens) {
    MoeCall call{.routing = {.tokens = tokens, .top_k = 8, .experts = 256, .ranks = 8},
                 .here = tokens,
                 .hidden = 2048,
                 .inter = 768};
    const Seconds own = moe_operator_time(call, m);
    call.routed_experts = 128;
    return (moe_operator_time(call, m) - own).value;
  };
  CHECK(extra(1) == Approx(4 * 3.3e-6));
  CHECK(extra(16384) > extra(1) + 50e-6);
}

TEST_CASE("before a prompt's attention q, k and v are read, rotated, and written to two places") {
  // MHA, 32 heads of 128, 16,384 tokens: 403 MB read, q and k back and k and v to the cache 537 MB:
  // 280 us at 3.35 TB/s.
  const Machine m = gpu("h100-sxm-80gb");
  const GroupedAttention mha{.h_q = 32, .h_kv = 32, .d_qk = 128, .d_v = 128, .window = 128};
  CHECK(context_attention_time(mha, {.tokens = 16384}, m).value > 940e6 / 3.35e12);
}

TEST_CASE("prompts under a window take time in proportion to their tokens") {
  for (const char* id : {"h100-sxm-80gb", "b200-sxm-180gb", "a100-sxm-80gb"}) {
    const Machine m = gpu(id);
    const auto time = [&](double tokens) {
      const GroupedAttention a{.h_q = 64, .h_kv = 8, .d_qk = 64, .d_v = 64, .window = 128};
      return context_attention_time(a, {.requests = 8, .tokens = tokens}, m);
    };
    CHECK((time(16384) - time(8192)) / (time(8192) - time(4096)) == Approx(2).epsilon(0.02));
  }
}

TEST_CASE("one new token of a request is a prompt too: three kernels in a graph, 5 to 20 us") {
  const Machine m = gpu("h100-sxm-80gb");
  const Prompts one;
  for (const Seconds t :
       {context_attention_time(GroupedAttention{.h_q = 32, .h_kv = 8, .d_qk = 128, .d_v = 128}, one,
                               m),
        context_attention_time(
            LatentAttention{.h_q = 16, .d_nope = 128, .d_rope = 64, .d_v = 128, .d_c = 512}, one,
            m)}) {
    CHECK(t.value > 5e-6);
    CHECK(t.value < 20e-6);
  }
}

TEST_CASE("decoding with more than 32 query heads a group: every head walks the cache alone") {
  // 64 heads on one of K/V, 32 x 8192 tokens of 128 in BF16: 134 MB of cache from HBM, 8.6 GB of it
  // through L2, which gives 4808 bytes a clock at most (arXiv:2402.13499).
  const Machine m = gpu("h100-sxm-80gb");
  const auto time = [&](int h_q) {
    return generation_attention_time({.h_q = h_q, .h_kv = 1, .d_qk = 128, .d_v = 128},
                                     {.requests = 32, .past = 8191}, m);
  };
  CHECK(time(64).value > 8.59e9 / (4808 * 1.98e9));
  CHECK(time(32) < 1.5 * time(8));
  CHECK(time(8).value > 134e6 / 3.35e12);
}

TEST_CASE("latent decoding on Ampere: one thread block walks a request's cache") {
  const auto time = [m = gpu("a100-sxm-80gb")](double requests, double tokens) {
    return operator_time({.table = OperatorTable::latent,
                          .operation = "mla_generation",
                          .shape = {requests, 1, tokens, 64}},
                         m);
  };
  CHECK(time(1, 131072) / time(1, 65536) == Approx(2).epsilon(0.05));
  CHECK(time(64, 65536) / time(1, 65536) == Approx(1).epsilon(0.1));
}

TEST_CASE("NCCL's rings: a hop for each step, a rank's own block, and the rate of the links") {
  const Machine h100 = gpu("h100-sxm-80gb"), b200 = gpu("b200-sxm-180gb");
  const auto gather = [](const Machine& m, int n, double share) {
    return nccl_time(m, {CollectiveKind::all_gather, n, Bytes{share}}).value;
  };
  // Published by ai-dynamo/aiconfigurator: 1 KiB in all over 2 and 8 H100, 5.2 and 10.4 us; 512 MiB
  // over 2 and 8, 1.04 and 1.40 ms, 761 us over 8 B200.
  CHECK(gather(h100, 2, 512) == Approx(5.2e-6).epsilon(0.1));
  CHECK(gather(h100, 8, 128) == Approx(10.4e-6).epsilon(0.1));
  CHECK(gather(h100, 2, 268435456) == Approx(1.04e-3).epsilon(0.1));
  CHECK(gather(h100, 8, 67108864) == Approx(1.40e-3).epsilon(0.1));
  CHECK(gather(b200, 8, 67108864) == Approx(761e-6).epsilon(0.1));
  // 7/8 of 512 MiB over 450 GB/s.
  CHECK(gather(h100, 8, 67108864) > 469.8e6 / 450e9);
}

TEST_CASE("NCCL adds halves in the switch and bytes in a ring") {
  const Machine m = gpu("h100-sxm-80gb");
  const Collective sum{CollectiveKind::all_reduce, 8, Bytes{536870912}};
  // Published: 2.11 ms for halves, 1.38 ms for half as many bytes of 8-bit integers.
  CHECK(nccl_time(m, sum).value == Approx(2.11e-3).epsilon(0.1));
  CHECK(nccl_time(m, sum, false).value == Approx(2 * 1.38e-3).epsilon(0.1));
  CHECK(nccl_time(m, {CollectiveKind::all_reduce, 1, Bytes{1024}}) == Seconds{});
}
