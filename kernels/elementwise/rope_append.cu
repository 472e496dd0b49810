// Rotary embedding of q and k and the append of k and v to the paged cache, fused or as two
// kernels.                                                            model: model/elementwise.cpp
//   (a, b) -> (a·cos - b·sin, b·cos + a·sin)    a, b = elements i and i + d/2 of a head,
//                                               angle = position·theta^(-2i/d), from a table
//   qkv [tokens, (h_q + 2·h_kv)·d] -> q_out [tokens, h_q, d],
//                                     k_cache, v_cache [pages, h_kv, page, d]
// A block or two a token. A thread turns two heads by one read of the table, whose latency hides
// behind theirs: 173 instead of 200 us for 16384 tokens of 64 / 8 heads on an H200.
//   HBM fused   read qkv, table rows, slots    written q, k, v     unfused   + k written and read
// arXiv:2104.09864 eq. 34, in the half-split form of GPT-NeoX and Llama.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/device.hpp"
#include "kernels/divisor.cuh"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/entries.hpp"
#include "kernels/elementwise/vector.cuh"
#include "kernels/reference.hpp"
#include "kernels/split_kv.hpp"
#include "model/elementwise.hpp"

namespace kvroof::kernels {
namespace {

/// (cos, sin) of eight pairs, read once for all heads of a thread.
struct Turns {
  float4 two[4];
  __device__ explicit Turns(const float2* from) {
#pragma unroll
    for (int i = 0; i < 4; ++i) two[i] = __ldg(reinterpret_cast<const float4*>(from) + i);
  }
};

/// Eight pairs: elements i .. i + 7 and i + d/2 .. i + d/2 + 7 of one head, as they lie in memory:
/// what a thread waits for holds half the registers.
struct Pairs {
  std::uint32_t a[4], b[4];
  __device__ static Pairs load(const bf16* head, int half) {
    const uint4 a = __ldcs(reinterpret_cast<const uint4*>(head));
    const uint4 b = __ldcs(reinterpret_cast<const uint4*>(head + half));
    return {{a.x, a.y, a.z, a.w}, {b.x, b.y, b.z, b.w}};
  }
  __device__ void store(bf16* head, int half) const {
    *reinterpret_cast<uint4*>(head) = make_uint4(a[0], a[1], a[2], a[3]);
    *reinterpret_cast<uint4*>(head + half) = make_uint4(b[0], b[1], b[2], b[3]);
  }
  __device__ void turn(const Turns& by) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 x = floats(a[i]), y = floats(b[i]);
      const float4 t = by.two[i];  // cos, sin, cos, sin
      a[i] = pack_bf16(x.x * t.x - y.x * t.y, x.y * t.z - y.y * t.w);
      b[i] = pack_bf16(y.x * t.x + x.x * t.y, y.y * t.z + x.y * t.w);
    }
  }

 private:
  __device__ static float2 floats(std::uint32_t two) {
    return {__uint_as_float(two << 16), __uint_as_float(two & 0xffff0000u)};
  }
};

constexpr int kMaxThreads = 256;
constexpr int kHeads = 2;  // of a thread, whose loads leave together

/// How a token's heads lie over threads: thread t takes eight pairs, number t % (d / 16), of head
/// t / (d / 16) and of kHeads - 1 more, `abreast` apart. Blocks of a token follow each other, so
/// that they find its row of the table in L2.
struct Layout {
  int heads, abreast, threads;
  Divisor per_token, per_head, page;
  Layout(int heads_, int d, int page_) : heads(heads_), per_head(d / 16), page(page_) {
    const int most = kMaxThreads / (d / 16);
    const int columns = (heads + kHeads - 1) / kHeads;  // of heads
    const int blocks = (columns + most - 1) / most;
    abreast = (columns + blocks - 1) / blocks;
    threads = (abreast * (d / 16) + 31) / 32 * 32;
    per_token = Divisor(blocks);
  }
};

/// What a thread does for its token: load(head) of all its heads, then what they share, then
/// use(head, pairs, shared).
struct Share {
  const Layout& by;
  int token, first_head, i;
  __device__ explicit Share(const Layout& layout) : by(layout) {
    const int block = static_cast<int>(blockIdx.x), t = static_cast<int>(threadIdx.x);
    token = by.per_token.quotient(block);
    const int column = by.per_head.quotient(t), part = by.per_token.remainder(block, token);
    first_head = column < by.abreast ? part * by.abreast * kHeads + column : by.heads;
    i = by.per_head.remainder(t, column) * 8;
  }
  __device__ int head(int n) const { return first_head + n * by.abreast; }
  template <class Load, class Shared, class Use>
  __device__ __forceinline__ void each(const Load& load, const Shared& shared,
                                       const Use& use) const {
    Pairs x[kHeads];
#pragma unroll
    for (int n = 0; n < kHeads; ++n)
      if (head(n) < by.heads) x[n] = load(head(n));
    const auto common = shared();
#pragma unroll
    for (int n = 0; n < kHeads; ++n)
      if (head(n) < by.heads) use(head(n), x[n], common);
  }
  /// Row of a token in the cache, for each K/V head.
  __device__ std::int64_t cache_row(const RopeAppendParams& p, int slot, int kv_head) const {
    const int page = by.page.quotient(slot);
    return (static_cast<std::int64_t>(page) * p.h_kv + kv_head) * p.page +
           by.page.remainder(slot, page);
  }
};

__global__ __launch_bounds__(kMaxThreads) void rope_append(const RopeAppendParams p,
                                                           const Layout layout) {
  const Share mine(layout);
  const int token = mine.token, half = p.d / 2, i = mine.i;
  const int slot = p.slots[token], position = p.positions[token];
  const bf16* qkv = p.qkv + static_cast<std::int64_t>(token) * (p.h_q + 2 * p.h_kv) * p.d + i;
  mine.each([&](int head) { return Pairs::load(qkv + head * p.d, half); },
            [&] { return Turns(p.turns + static_cast<std::int64_t>(position) * half + i); },
            [&](int head, Pairs& x, const Turns& turns) {
              const bool is_v = head >= p.h_q + p.h_kv;
              if (!is_v) x.turn(turns);
              bf16* out =
                  head < p.h_q
                      ? p.q_out + (static_cast<std::int64_t>(token) * p.h_q + head) * p.d
                      : (is_v ? p.v_cache : p.k_cache) +
                            mine.cache_row(p, slot, head - p.h_q - (is_v ? p.h_kv : 0)) * p.d;
              x.store(out + i, half);
            });
}

__global__ __launch_bounds__(kMaxThreads) void rope(const RopeAppendParams p, const Layout layout) {
  const Share mine(layout);
  const int token = mine.token, half = p.d / 2, i = mine.i, position = p.positions[token];
  const bf16* qkv = p.qkv + static_cast<std::int64_t>(token) * (p.h_q + 2 * p.h_kv) * p.d + i;
  mine.each([&](int head) { return Pairs::load(qkv + head * p.d, half); },
            [&] { return Turns(p.turns + static_cast<std::int64_t>(position) * half + i); },
            [&](int head, Pairs& x, const Turns& turns) {
              x.turn(turns);
              bf16* out =
                  head < p.h_q
                      ? p.q_out + (static_cast<std::int64_t>(token) * p.h_q + head) * p.d
                      : p.k_turned +
                            (static_cast<std::int64_t>(token) * p.h_kv + head - p.h_q) * p.d;
              x.store(out + i, half);
            });
}

__global__ __launch_bounds__(kMaxThreads) void append(const RopeAppendParams p,
                                                      const Layout layout) {
  const Share mine(layout);
  const int token = mine.token, half = p.d / 2, i = mine.i, slot = p.slots[token];
  const std::int64_t row = token;
  const bf16* k = p.k_turned + row * p.h_kv * p.d + i;
  const bf16* v = p.qkv + (row * (p.h_q + 2 * p.h_kv) + p.h_q + p.h_kv) * p.d + i;
  mine.each(
      [&](int head) {
        return Pairs::load(head < p.h_kv ? k + head * p.d : v + (head - p.h_kv) * p.d, half);
      },
      [&] { return 0; },
      [&](int head, Pairs& x, int) {
        const bool is_v = head >= p.h_kv;
        bf16* out = (is_v ? p.v_cache : p.k_cache) +
                    mine.cache_row(p, slot, head - (is_v ? p.h_kv : 0)) * p.d;
        x.store(out + i, half);
      });
}

template <class Kernel>
void launch_heads(Kernel* kernel, int heads, const RopeAppendParams& p, cudaStream_t stream) {
  if (p.d % 16 != 0) throw std::invalid_argument("rope_append: d must be a multiple of 16");
  const Layout layout(heads, p.d, p.page);
  kernel<<<p.tokens * layout.per_token.divisor, layout.threads, 0, stream>>>(p, layout);
  CUDA_CHECK(cudaGetLastError());
}

constexpr double kTheta = 5e5;  // Llama 3

/// (cos, sin) of position·theta^(-2i/d), row by row.
Buffer turn_table(int positions, int d) {
  std::vector<float2> table(static_cast<std::size_t>(positions) * static_cast<std::size_t>(d / 2));
  for (std::size_t at = 0; at < table.size(); ++at) {
    const auto half = static_cast<std::size_t>(d / 2);
    const double i = static_cast<double>(at % half), position = static_cast<double>(at / half);
    const double angle = position * std::pow(kTheta, -2 * i / d);
    table[at] = {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
  }
  return to_device(table);
}

struct Data {
  int tokens, h_q, h_kv, d, page;
  std::vector<int> positions, slots;
  Buffer qkv, turns, device_positions, device_slots, q_out, k_turned, k_cache, v_cache;
};

Data rope_data(const Args& args) {
  const auto whole = [&](const char* name, double fallback) {
    return static_cast<int>(arg(args, name, fallback));
  };
  Data x{.tokens = whole("tokens", 16),
         .h_q = whole("h_q", 32),
         .h_kv = whole("h_kv", 8),
         .d = whole("d", 128),
         .page = whole("block_size", 16)};
  // Requests of `s_q` tokens each, at random places of their contexts; slots anywhere in the cache.
  const int s_q = whole("s_q", 1), context = whole("context", 8192);
  std::mt19937_64 random(fresh_seed());
  for (int t = 0; t < x.tokens; ++t)
    x.positions.push_back(t % s_q == 0 ? static_cast<int>(random() % static_cast<unsigned>(std::max(
                                                                         1, context - s_q + 1)))
                                       : x.positions.back() + 1);
  const int pages = (x.tokens + x.page - 1) / x.page;
  x.slots.resize(static_cast<std::size_t>(pages * x.page));
  std::iota(x.slots.begin(), x.slots.end(), 0);
  std::shuffle(x.slots.begin(), x.slots.end(), random);
  x.slots.resize(static_cast<std::size_t>(x.tokens));

  const auto row = static_cast<std::size_t>(x.d) * 2, tokens = static_cast<std::size_t>(x.tokens);
  const auto heads = [](int h) { return static_cast<std::size_t>(h); };
  x.qkv = Buffer(tokens * row * heads(x.h_q + 2 * x.h_kv));
  x.q_out = Buffer(tokens * row * heads(x.h_q));
  x.k_turned = Buffer(tokens * row * heads(x.h_kv));
  x.k_cache = Buffer(static_cast<std::size_t>(pages * x.page) * row * heads(x.h_kv));
  x.v_cache = Buffer(x.k_cache.bytes());
  x.turns = turn_table(std::max(context, s_q), x.d);
  x.device_positions = to_device(x.positions), x.device_slots = to_device(x.slots);
  fill_random(x.qkv, Dtype::bf16);
  return x;
}

/// Columns [first, first + heads·d) of every token's row of qkv.
std::vector<float> columns(const std::vector<float>& qkv, const Data& x, int first, int heads) {
  std::vector<float> out;
  const int width = (x.h_q + 2 * x.h_kv) * x.d;
  for (int t = 0; t < x.tokens; ++t) {
    const auto from = qkv.begin() + std::int64_t{t} * width + std::int64_t{first} * x.d;
    out.insert(out.end(), from, from + std::int64_t{heads} * x.d);
  }
  return out;
}

/// The whole cache: what belongs to no token must still be poison, which reads as 0 here.
std::vector<double> scattered(const std::vector<double>& rows, const Data& x,
                              std::size_t elements) {
  std::vector<double> cache(elements, 0.0);
  for (int t = 0; t < x.tokens; ++t)
    for (int h = 0; h < x.h_kv; ++h) {
      const int slot = x.slots[static_cast<std::size_t>(t)];
      const auto at = ((std::int64_t{slot / x.page} * x.h_kv + h) * x.page + slot % x.page) * x.d;
      const auto from = rows.begin() + (std::int64_t{t} * x.h_kv + h) * x.d;
      std::copy(from, from + x.d, cache.begin() + at);
    }
  return cache;
}
std::vector<float> cache_values(const Buffer& cache, const std::vector<double>& expected) {
  std::vector<float> out = to_floats(cache, Dtype::bf16);
  for (std::size_t i = 0; i < out.size(); ++i)
    if (expected[i] == 0 && std::isnan(out[i])) out[i] = 0;
  return out;
}

Verdict verify_append(const Data& x, const std::function<void(cudaStream_t)>& launch) {
  fill_random(x.qkv, Dtype::bf16);
  poison(x.q_out), poison(x.k_turned), poison(x.k_cache), poison(x.v_cache);
  launch(nullptr);
  const std::vector<float> qkv = to_floats(x.qkv, Dtype::bf16);
  const std::vector<std::int64_t> positions(x.positions.begin(), x.positions.end());
  const auto turned = [&](int first, int heads) {
    return reference::rope(columns(qkv, x, first, heads), positions, heads, x.d, kTheta);
  };
  const std::vector<float> v_rows = columns(qkv, x, x.h_q + x.h_kv, x.h_kv);
  const std::size_t cache_elements = x.k_cache.bytes() / 2;
  const std::vector<double> k = scattered(turned(x.h_q, x.h_kv), x, cache_elements);
  const std::vector<double> v =
      scattered(std::vector<double>(v_rows.begin(), v_rows.end()), x, cache_elements);
  for (const auto& [expected, cache] : {std::pair{&k, &x.k_cache}, std::pair{&v, &x.v_cache}})
    if (const Verdict verdict = compare(*expected, cache_values(*cache, *expected), 4e-3);
        !verdict.ok)
      return verdict;
  return compare(turned(0, x.h_q), to_floats(x.q_out, Dtype::bf16), 4e-3);
}

/// Rows of the table that are read, while L2 holds them from one token to the next.
double distinct_positions(const Data& x) {
  std::vector<int> sorted = x.positions;
  std::sort(sorted.begin(), sorted.end());
  return static_cast<double>(std::unique(sorted.begin(), sorted.end()) - sorted.begin());
}

Case make(const Args& args) {
  const Data x = rope_data(args);
  const bool fused = arg(args, "fused", 1) != 0;
  const RopeAppendParams p{x.qkv.as<bf16>(),
                           x.turns.as<float2>(),
                           x.device_positions.as<int>(),
                           x.device_slots.as<int>(),
                           x.q_out.as<bf16>(),
                           x.k_turned.as<bf16>(),
                           x.k_cache.as<bf16>(),
                           x.v_cache.as<bf16>(),
                           x.tokens,
                           x.h_q,
                           x.h_kv,
                           x.d,
                           x.page};
  const auto launch = [=, keep = x](cudaStream_t stream) {
    fused ? launch_rope_append(p, stream) : launch_rope_append_unfused(p, stream);
  };
  const double tokens = x.tokens, q = 1.0 * x.h_q * x.d, kv = 2.0 * x.h_kv * x.d;
  const Bytes all{2 * tokens * (2 * q + 2 * kv)};
  const Grid grid = rope_append_grid(x.tokens, x.h_q, x.h_kv, x.d, fused);
  const elementwise::RopeTable table{
      .rows = all <= on_chip().l2_effective ? distinct_positions(x) : tokens,
      .row = Bytes{4.0 * x.d},
      .indices = Bytes{8},
      .blocks = grid.blocks / tokens};
  return {
      .name = std::string("rope_append ") + (fused ? "fused" : "unfused") + " tokens" +
              std::to_string(x.tokens) + " h" + std::to_string(x.h_q) + "/" +
              std::to_string(x.h_kv) + " d" + std::to_string(x.d),
      .op = {.name = "rope_append",
             .op_class = OpClass::elementwise,
             .work = elementwise::rope_append(tokens, q, kv, Bytes{2 * kv}, ElementSize{2}, 0,
                                              fused, table),
             .execution = {.ctas_per_sm = grid.per_sm},
             .handed_over =
                 fused ? Bytes{} : kept_on_chip(Bytes{tokens * kv}, Bytes{tokens * (2 * q + kv)})},
      .launch = launch,
      .verify = [=] { return verify_append(x, launch); },
      .kernels_per_launch = fused ? 1 : 2};
}

}  // namespace

Grid rope_append_grid(int tokens, int h_q, int h_kv, int d, bool fused) {
  const Layout layout(h_q + (fused ? 2 : 1) * h_kv, d, 1);
  return grid_of(1. * tokens * layout.per_token.divisor, layout.threads);
}

void launch_rope_append(const RopeAppendParams& p, cudaStream_t stream) {
  launch_heads(rope_append, p.h_q + 2 * p.h_kv, p, stream);
}
void launch_rope_append_unfused(const RopeAppendParams& p, cudaStream_t stream) {
  launch_heads(rope, p.h_q + p.h_kv, p, stream);
  launch_heads(append, 2 * p.h_kv, p, stream);
}

Entry rope_append_entry() {
  std::vector<Args> shapes;
  for (const double tokens : {16., 1024., 16384.})
    for (const double h_q : {32., 64.})
      for (const double fused : {1., 0.})
        shapes.push_back({{"tokens", tokens},
                          {"h_q", h_q},
                          {"s_q", tokens > 4096 ? 2048. : 1.},
                          {"fused", fused}});
  return {.name = "rope_append",
          .title = "rotary embedding and cache append, fused or not",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
