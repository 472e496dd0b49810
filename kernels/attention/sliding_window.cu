// Sliding-window attention with attention sinks.        model: model/attention/sliding_window.cpp
//   query at position i sees keys i - window < j <= i and the first `sinks` keys
// Prefill (s_q > 1): the loop of flash_v2 over the key tiles that the window or the sinks touch; a
// tile is masked only where an edge of the band crosses it (kernels/band.cuh).
// Decode (s_q = 1): the loop of gqa_decode over the window + sinks live keys, wherever they lie;
// the keys between are not read, so a rolling cache would do.
//   prefill  q, o [b, h_q, s_q, d]   decode  q, o [b, s_q, h_q, d]   k, v [b, h_kv, s_kv, d]   bf16
#include <algorithm>

#include "kernels/attention/entries.hpp"
#include "kernels/flash_prefill.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/sliding_window.hpp"

namespace kvroof::kernels {
namespace {

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  const bool decode = x.s_q == 1;
  const AttentionData data = decode ? decode_data(x, args) : head_major_data(x, args);
  refill(data);
  const int d = static_cast<int>(x.d_qk);
  attention::Options options{.sinks = arg(args, "sinks", 0)};
  std::function<void(cudaStream_t)> launch;
  Buffer partials;
  if (decode) {
    AttentionShape live = x;
    live.s_kv = attention::rolling_cache_tokens(x.s_kv, x.window, options.sinks);
    const int splits = choose_splits(live, args);
    options.splits = splits, options.tile = decode_kernel_tile(d);
    const SplitParams p = split_params(data, splits, partials);
    DenseCache cache = contiguous_cache(data.k, data.v, data.call.h_kv, data.call.s_kv);
    cache.window = static_cast<int>(x.window), cache.sinks = static_cast<int>(options.sinks);
    launch = [=, keep = data](cudaStream_t stream) {
      static_cast<void>(partials);
      launch_split(p, cache, d, stream);
    };
  } else {
    options.tile = flash_v2_kernel_tile(d);
    const FlashParams p = flash_params(data);
    launch = [=, keep = data](cudaStream_t stream) { launch_flash_v2(p, stream); };
  }
  const attention::Cost cost = attention::sliding_window(x, {}, on_chip(), options);
  return {.name = "sliding_window " + shape_name(x),
          .op = {.name = "sliding_window",
                 .op_class = decode ? OpClass::decode_attention : OpClass::prefill_attention,
                 .work = cost.work,
                 .execution = cost.execution,
                 .handed_over = cost.handed_over},
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); },
          .kernels_per_launch = options.splits > 1 ? 2 : 1};
}

}  // namespace

Entry sliding_window_entry() {
  const auto prefill = [](double s, double d, double window, double sinks) {
    return Args{{"b", 16384 / s}, {"h_q", 2048 / d},  {"s_q", s},
                {"d", d},         {"window", window}, {"sinks", sinks}};
  };
  const auto decode = [](double b, double s_kv, double window, double sinks) {
    return Args{{"b", b},       {"h_q", 32},        {"h_kv", 8},
                {"s_kv", s_kv}, {"window", window}, {"sinks", sinks}};
  };
  return {.name = "sliding_window",
          .title = "prefill and decode over a window of keys, with sinks",
          .shapes = {prefill(16384, 128, 4096, 0), prefill(16384, 128, 1024, 0),
                     prefill(16384, 128, 1024, 4), prefill(8192, 64, 128, 0),
                     prefill(8192, 64, 1024, 4), prefill(8192, 256, 1024, 0),
                     prefill(4096, 128, 4096, 0), decode(64, 32768, 4096, 0),
                     decode(64, 32768, 4096, 4), decode(64, 8192, 1024, 0),
                     decode(8, 131072, 4096, 4), decode(32, 16384, 128, 0)},
          .make = make};
}

}  // namespace kvroof::kernels
