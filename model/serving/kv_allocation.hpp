// How cache memory is handed out, and how much of it holds tokens.
#pragma once
#include <cstdint>
#include <span>

#include "model/serving/request.hpp"

namespace kvroof::serving {

/// reserved_max    every request gets room for the longest one allowed (FasterTransformer,
///                 Orca max)
/// reserved_exact  room for its own final length, known by an oracle (Orca oracle)
/// buddy           the next power of two above its final length (Orca pow2)
/// paged           whole blocks, as it grows (Kwon et al., PagedAttention, arXiv:2309.06180)
enum class Allocation { paged, reserved_max, reserved_exact, buddy };

struct AllocationRule {
  Allocation kind = Allocation::paged;
  std::int64_t block = 16;        // tokens, paged only
  std::int64_t max_len = 131072;  // reserved_max only
};

/// Tokens of room taken by a request that holds `now` tokens and will end at `final_len`.
std::int64_t held_tokens(const AllocationRule& rule, std::int64_t now, std::int64_t final_len);

/// Share of the room taken that holds tokens, averaged over all generated tokens: a request takes
/// part once per output token, holding n + 1 … n + o tokens.
double useful_fraction(std::span<const Lengths> requests, const AllocationRule& rule);

/// Mean tokens lost at the end of a paged sequence whose length is anything:  (b − 1)/2.
double paged_waste(std::int64_t block);

/// Requests that fit under one rule for each that fits under another, until compute or
/// max_num_seqs binds: the ratio of their useful fractions.
double concurrency_gain(double useful_new, double useful_old);

/// Smallest power of two at or above the longest n + o; the max_len a reserving engine is set to.
std::int64_t max_len_of(std::span<const Lengths> requests);

}  // namespace kvroof::serving
