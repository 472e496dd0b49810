// Who does what, and who waits for whom, in the forward pass: the roles of the warps as code. The
// kernel runs it on a GPU; tests/blackwell/protocol_test.cpp runs the same code on a model of the
// GPU and proves that it neither deadlocks nor races.
//
// A block works on two query tiles of 128 rows at a time (t = 0, 1) against n tiles of 128 keys.
// While the softmax of one tile runs, the tensor cores multiply for the other.
//
//   load      a thread   Q_t, K_j, V_j -> shared memory                          by TMA
//   multiply  a thread   S_t = Q_t·K_j^T      O_t += P_t·V_j                     by tcgen05.mma
//   softmax   2 x 4 warps, t each: S_t -> P_t, in tensor memory; tells the correction by how much a
//             row's maximum grew, and at the end the sums of the rows
//   correct   4 warps    O_t *= what the maximum grew by; at the end O_t / sum -> global memory
//
//   tensor memory, columns     S_0 0-127   S_1 128-255   O_0 256-383   O_1 384-511
//                              P_t, of 16 bits, lies over the upper half of S_t
//
//   barrier     copies  arrivals a phase             says                         who waits
//   q_full      t       1 + bytes      load          Q_t is there                 multiply
//   q_free      t       1 (commit)     multiply      Q_t has been read            load
//   kv_full     stage   1 + bytes      load          a tile of K or V is there    multiply
//   kv_free     stage   1 (commit)     multiply      it has been read             load
//   s_full      t       1 (commit)     multiply      S_t is computed              softmax t
//   p_ready     t       4 + 4 warps    softmax t,    P_t is written,              multiply
//                                      correct       O_t may be added to
//   o_full      t       1 (commit)     multiply      P_t·V_j is in O_t            correct, multiply
//   note_full   t       4 warps        softmax t     the note is written          correct
//   note_free   t       4 warps        correct       the note has been read       softmax t
// Phases count from 0 over the life of the block. Waiting for phase -1 returns at once: that is how
// the first use of a buffer finds it free.
#pragma once
#include "kernels/blackwell/host_device.hpp"

namespace kvroof::kernels::blackwell::forward {

inline constexpr int kTiles = 2;   // query tiles of a block
inline constexpr int kStages = 4;  // tiles of K and V in shared memory
inline constexpr int kWarps = 4;   // of a softmax group, and of the correction

enum class Barrier {
  q_full,
  q_free,
  kv_full,
  kv_free,
  s_full,
  p_ready,
  o_full,
  note_full,
  note_free
};
inline constexpr int kBarriers = 9;

struct BarrierPlan {
  const char* name;
  int copies, arrivals;
};
/// The table above, for whoever initialises the barriers.
KVROOF_HOST_DEVICE constexpr BarrierPlan plan(Barrier b) {
  switch (b) {
    case Barrier::q_full:
      return {"q_full", kTiles, 1};
    case Barrier::q_free:
      return {"q_free", kTiles, 1};
    case Barrier::kv_full:
      return {"kv_full", kStages, 1};
    case Barrier::kv_free:
      return {"kv_free", kStages, 1};
    case Barrier::s_full:
      return {"s_full", kTiles, 1};
    case Barrier::p_ready:
      return {"p_ready", kTiles, 2 * kWarps};
    case Barrier::o_full:
      return {"o_full", kTiles, 1};
    case Barrier::note_full:
      return {"note_full", kTiles, kWarps};
    case Barrier::note_free:
      return {"note_free", kTiles, kWarps};
  }
  return {"", 0, 0};
}
/// All barriers lie in one array: place of the first copy.
KVROOF_HOST_DEVICE constexpr int first_of(Barrier b) {
  int at = 0;
  for (int i = 0; i < static_cast<int>(b); ++i) at += plan(static_cast<Barrier>(i)).copies;
  return at;
}
inline constexpr int kBarrierCount = first_of(Barrier::note_free) + kTiles;

/// Columns of tensor memory.
KVROOF_HOST_DEVICE constexpr int scores_column(int t) { return 128 * t; }
KVROOF_HOST_DEVICE constexpr int probabilities_column(int t) { return scores_column(t) + 64; }
KVROOF_HOST_DEVICE constexpr int output_column(int t) { return 256 + 128 * t; }

/// What the roles below ask of the GPU, or of its model:
///   bool begin(int w)                 the block's w-th pair of query tiles; false: there is none
///   int key_tiles()                   of that pair, at least 1
///   void wait(Barrier, int copy, int phase)
///   void arrive(Barrier, int copy)    of this warp
///   void commit(Barrier, int copy)    an arrival when every product issued so far is done
/// and the operations that a role names.

/// K_0, V_0, K_1, V_1, … go round the ring of stages: this is the f-th of them.
struct Ring {
  int f = 0;
  KVROOF_HOST_DEVICE constexpr int stage() const { return f % kStages; }
  KVROOF_HOST_DEVICE constexpr int turn() const { return f / kStages; }
};

/// One thread. load_q(t), load_k(stage, j) and load_v(stage, j) arrive at the barrier of what they
/// load, when it has come.
template <class Engine>
KVROOF_HOST_DEVICE void load(Engine& e) {
  Ring ring;
  const auto free_stage = [&] { e.wait(Barrier::kv_free, ring.stage(), ring.turn() - 1); };
  int w = 0;
  for (; e.begin(w); ++w) {
    for (int t = 0; t < kTiles; ++t) {
      e.wait(Barrier::q_free, t, w - 1);
      e.load_q(t);
    }
    for (int j = 0; j < e.key_tiles(); ++j) {
      free_stage(), e.load_k(ring.stage(), j), ++ring.f;
      free_stage(), e.load_v(ring.stage(), j), ++ring.f;
    }
  }
  // The block must not end while a commit has still to arrive in its shared memory.
  for (int t = 0; t < kTiles; ++t) e.wait(Barrier::q_free, t, w - 1);
  for (int i = 0; i < kStages; ++i, ++ring.f) free_stage();
}

/// One thread. S of the next keys is computed before the softmax of these is done, so that neither
/// waits for the other.
///
/// kInOrder: S_t may be issued while P_t·V is still at work, although it will overwrite P_t, because
/// products run in the order of issue. NVIDIA/cutlass example 77 and Dao-AILab/flash-attention
/// count on that, but PTX ISA 9.1, 9.7.16.6.2 promises it for the same accumulator alone; so by
/// default S_t waits until P_t·V is done.
template <bool kInOrder, class Engine>
KVROOF_HOST_DEVICE void multiply(Engine& e) {
  Ring k, v;     // v follows k by one: K_j is the 2j-th tile of this pair, V_j the next
  int step = 0;  // key tiles so far: the phase of s_full, p_ready and o_full
  const auto scores = [&](int t, int previous) {
    if (!kInOrder) e.wait(Barrier::o_full, t, previous);  // P_t, under S_t, has been read
    e.scores(t, k.stage());
    e.commit(Barrier::s_full, t);
  };
  for (int w = 0; e.begin(w); ++w) {
    const int n = e.key_tiles();
    e.wait(Barrier::kv_full, k.stage(), k.turn());
    for (int t = 0; t < kTiles; ++t) {
      e.wait(Barrier::q_full, t, w);
      scores(t, step - 1);
    }
    e.commit(Barrier::kv_free, k.stage());
    for (int j = 0; j < n; ++j, ++step) {
      const bool more = j + 1 < n;
      v.f = k.f + 1, k.f += 2;
      if (!more)
        for (int t = 0; t < kTiles; ++t) e.commit(Barrier::q_free, t);
      e.wait(Barrier::kv_full, v.stage(), v.turn());
      for (int t = 0; t < kTiles; ++t) {
        e.wait(Barrier::p_ready, t, step);
        e.output(t, v.stage(), j > 0);
        e.commit(Barrier::o_full, t);
        if (!more) continue;
        if (t == 0) e.wait(Barrier::kv_full, k.stage(), k.turn());
        scores(t, step);
      }
      e.commit(Barrier::kv_free, v.stage());
      if (more) e.commit(Barrier::kv_free, k.stage());
    }
  }
}

/// Each of the warps of tile t.
template <class Engine>
KVROOF_HOST_DEVICE void softmax(Engine& e, int t) {
  int step = 0, note = 0;
  const auto tell = [&](auto&& write) {
    e.wait(Barrier::note_free, t, note++ - 1);
    write();
    e.arrive(Barrier::note_full, t);
  };
  for (int w = 0; e.begin(w); ++w) {
    for (int j = 0; j < e.key_tiles(); ++j, ++step) {
      e.wait(Barrier::s_full, t, step);
      e.read_scores(t, j);  // and the new maxima
      tell([&] { e.write_growth(t); });
      e.write_probabilities(t, j);
      e.arrive(Barrier::p_ready, t);
    }
    tell([&] { e.write_sums(t); });
  }
}

/// Each of its warps, which owns the same rows of both tiles.
template <class Engine>
KVROOF_HOST_DEVICE void correct(Engine& e) {
  int step = 0, note = 0;
  for (int w = 0; e.begin(w); ++w) {
    const int n = e.key_tiles();
    for (int j = 0; j < n; ++j, ++step, ++note)
      for (int t = 0; t < kTiles; ++t) {
        e.wait(Barrier::note_full, t, note);
        e.read_growth(t);
        e.arrive(Barrier::note_free, t);
        if (j > 0) {
          e.wait(Barrier::o_full, t, step - 1);
          e.rescale(t);
        }
        e.arrive(Barrier::p_ready, t);
      }
    for (int t = 0; t < kTiles; ++t) {
      e.wait(Barrier::note_full, t, note);
      e.read_sums(t);
      e.arrive(Barrier::note_free, t);
      e.wait(Barrier::o_full, t, step - 1);
      e.store(t);
    }
    ++note;
  }
}

}  // namespace kvroof::kernels::blackwell::forward
