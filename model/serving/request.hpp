// What serving formulas and the simulator know of a request: when it comes and how long it is.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "model/units.hpp"

namespace kvroof::serving {

/// Prompt and generated tokens of one request.
struct Lengths {
  std::int64_t prompt = 1, output = 1;
  bool operator==(const Lengths&) const = default;
};

/// One request as it reaches the service.
struct Request {
  Seconds arrival;
  std::int32_t prompt = 1, output = 1;
  // Where its prefix hashes stand in Trace::hashes; no hashes: nothing known to be shared.
  std::uint32_t first_hash = 0, num_hashes = 0;
};

/// Requests in order of arrival. Equal hashes stand for equal prompts up to and including that
/// block of hash_block tokens.
struct Trace {
  std::vector<Request> requests;
  std::vector<std::int64_t> hashes;
  std::int64_t hash_block = 0;

  std::span<const std::int64_t> hashes_of(const Request& r) const {
    return {hashes.data() + r.first_hash, r.num_hashes};
  }
};

std::vector<Lengths> lengths(const Trace& trace);

}  // namespace kvroof::serving
