// The barriers of the Blackwell forward kernel, proved on a model: the kernel's own role code, for
// up to nine key tiles and three pairs of query tiles a block. No GPU needed.
#include <doctest/doctest.h>

#include "tests/blackwell/protocol_model.hpp"

using namespace kvroof::test;

namespace {

void check_sound(const Setting& s) {
  const std::vector<std::string> wrong = faults(s);
  CAPTURE(s.key_tiles.size());
  CAPTURE(s.key_tiles[0]);
  CAPTURE((wrong.empty() ? "" : wrong[0]));
  CHECK(wrong.empty());
}

bool sound(const Setting& s) { return faults(s).empty(); }

}  // namespace

TEST_CASE("tcgen05 protocol: no deadlock, no race and the right data, full masks") {
  for (int pairs = 1; pairs <= 3; ++pairs)
    for (int n = 1; n <= 9; ++n)
      check_sound({.key_tiles = std::vector<int>(static_cast<std::size_t>(pairs), n)});
}

TEST_CASE("tcgen05 protocol: causal masks, whose pairs of query tiles differ in length") {
  for (const std::vector<int>& n : std::vector<std::vector<int>>{
           {8, 6, 4, 2}, {2, 4, 6}, {1, 2, 1}, {7, 1, 5}, {9, 3}, {1, 1, 1, 1, 1, 1, 1}})
    check_sound({.key_tiles = n});
}

// What NVIDIA/cutlass example 77 and flash-attention count on, and what the ISA promises.
TEST_CASE("tcgen05 protocol: products issued ahead need tensor cores that work in order") {
  for (const std::vector<int>& n : {std::vector<int>{5}, {3, 1, 4}}) {
    CHECK(sound({.key_tiles = n, .kernel_in_order = true, .gpu_in_order = true}));
    CHECK_FALSE(sound({.key_tiles = n, .kernel_in_order = true, .gpu_in_order = false}));
    CHECK(sound({.key_tiles = n, .kernel_in_order = false, .gpu_in_order = true}));
  }
}

// Every wait of every role is needed, and the model sees each that is missing.
TEST_CASE("tcgen05 protocol: a wait left out is found") {
  using W = Setting::Wait;
  for (const W& wait : {W{"load", Barrier::q_free}, W{"load", Barrier::kv_free},
                        W{"multiply", Barrier::q_full}, W{"multiply", Barrier::kv_full},
                        W{"multiply", Barrier::p_ready}, W{"multiply", Barrier::o_full},
                        W{"softmax", Barrier::s_full}, W{"softmax", Barrier::note_free},
                        W{"correct", Barrier::note_full}, W{"correct", Barrier::o_full}}) {
    CAPTURE(wait.role);
    CAPTURE(static_cast<int>(wait.barrier));
    CHECK_FALSE(sound({.key_tiles = {4, 3}, .without = wait}));
  }
}
