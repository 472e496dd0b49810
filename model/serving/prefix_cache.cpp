#include "model/serving/prefix_cache.hpp"

#include <algorithm>

namespace kvroof::serving {

std::int64_t prefix_hit_tokens(std::int64_t common, std::int64_t prompt, std::int64_t block) {
  return std::max<std::int64_t>(0, std::min(common, prompt - 1)) / block * block;
}

Flops saved_flops(double params, double n_layers, double h_q, double d_qk, double cached) {
  return Flops{2 * params * cached + 2 * n_layers * h_q * d_qk * cached * cached};
}

Bandwidth min_load_bandwidth(Throughput achieved, double d_model, double gqa, double prefix,
                             ElementSize kv, double a, double b) {
  const double bytes = 2 * d_model * kv.value / gqa;                  // per layer and token
  const double flops = a * prefix * d_model + b * d_model * d_model;  // per layer and token
  return Bytes{bytes} / (Flops{flops} / achieved);
}

bool worth_storing(double queries, Seconds prefill, Seconds load, double gpu_usd_per_second,
                   double storage_usd_per_second, Seconds lifetime) {
  return queries * (prefill - load).value * gpu_usd_per_second >
         storage_usd_per_second * lifetime.value;
}

std::size_t LruBlocks::use(std::span<const std::int64_t> hashes) {
  std::size_t hit = 0;
  while (hit < hashes.size() && where_.contains(hashes[hit])) ++hit;
  for (auto h = hashes.rbegin(); h != hashes.rend(); ++h) {  // the start ends up most recent
    if (const auto found = where_.find(*h); found != where_.end())
      order_.splice(order_.begin(), order_, found->second);
    else where_.emplace(*h, order_.insert(order_.begin(), *h));
  }
  while (where_.size() > capacity_) {
    where_.erase(order_.back());
    order_.pop_back();
  }
  return hit;
}

namespace {

std::int64_t blocks(std::int64_t tokens, std::int64_t block) {
  return (tokens + block - 1) / block;
}

/// `copies` sequences of `total` tokens that agree in the first `same`.
SharedBlocks share(std::int64_t same, std::int64_t total, std::int64_t copies, std::int64_t block) {
  SharedBlocks s;
  s.shared = same / block;
  s.unshared = copies * blocks(total, block);
  s.total = s.shared + copies * (blocks(total, block) - s.shared);
  return s;
}

}  // namespace

SharedBlocks parallel_sampling(std::int64_t prompt, std::int64_t output, std::int64_t samples,
                               std::int64_t block) {
  return share(prompt, prompt + output, samples, block);
}

SharedBlocks beam_search(std::int64_t prompt, std::int64_t output, std::int64_t common,
                         std::int64_t beams, std::int64_t block) {
  return share(prompt + common, prompt + output, beams, block);
}

}  // namespace kvroof::serving
