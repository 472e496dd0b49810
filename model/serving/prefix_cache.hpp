// Prefix caching: cached blocks of a shared prompt start are attended to but not computed.
#pragma once
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>

#include "model/units.hpp"

namespace kvroof::serving {

/// Tokens of a prompt found in the cache: whole blocks of the common prefix, and the last token is
/// always computed since it yields the first output:
///   floor(min(common, n − 1)/b)·b                        as vLLM's automatic prefix caching does
std::int64_t prefix_hit_tokens(std::int64_t common, std::int64_t prompt, std::int64_t block);

/// FLOPs not spent on a cached prefix of h tokens, causal:  2·P·h + 2·L·h_q·d·h².
Flops saved_flops(double params, double n_layers, double h_q, double d_qk, double cached);

/// Bandwidth from which loading a stored prefix beats computing it.
/// Mooncake (Qin et al., FAST'25) eq. 1-2: flops(n) = l·(a·n²·d + b·n·d²),
/// bytes(n) = l·n·2·d·e/gqa:
///   B > G · 2·d·e / (gqa · (a·p·d + b·d²))
/// G FLOP/s achieved, d d_model, e bytes per cached element, p prefix tokens, gqa = h_q/h_kv. The
/// paper takes a = 4 (the full square; causal is 2) and b = 22.
Bandwidth min_load_bandwidth(Throughput achieved, double d_model, double gqa, double prefix,
                             ElementSize kv, double a = 4, double b = 22);

/// Keep a document's cache when reuse pays for its storage:
///   queries·(t_prefill − t_load)·GPU price  >  storage price·lifetime
bool worth_storing(double queries, Seconds prefill, Seconds load, double gpu_usd_per_second,
                   double storage_usd_per_second, Seconds lifetime);

/// Least recently used cache of block hashes. A hash stands for a block and everything before it,
/// so a prefix is never kept without its start:
/// of blocks used together the later are evicted first.
class LruBlocks {
 public:
  explicit LruBlocks(std::size_t capacity) : capacity_(capacity) {}
  /// Leading blocks of `hashes` that are present; then all of them become most recently used.
  std::size_t use(std::span<const std::int64_t> hashes);
  std::size_t size() const { return where_.size(); }

 private:
  std::size_t capacity_;
  std::list<std::int64_t> order_;  // most recent first
  std::unordered_map<std::int64_t, std::list<std::int64_t>::iterator> where_;
};

/// Blocks held by `samples` outputs of one prompt with copy-on-write: full prompt blocks once; the
/// last, partial prompt block is copied by every sample but one when it appends.
///   PagedAttention (arXiv:2309.06180) section 4.4
struct SharedBlocks {
  std::int64_t shared = 0, total = 0, unshared = 0;  // unshared: total without sharing
  double saving() const {
    return unshared ? 1 - static_cast<double>(total) / static_cast<double>(unshared) : 0;
  }
};
SharedBlocks parallel_sampling(std::int64_t prompt, std::int64_t output, std::int64_t samples,
                               std::int64_t block);

/// Beam search: beams descend from a common ancestor `common` generated tokens deep and differ
/// after it.
SharedBlocks beam_search(std::int64_t prompt, std::int64_t output, std::int64_t common,
                         std::int64_t beams, std::int64_t block);

}  // namespace kvroof::serving
