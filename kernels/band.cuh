// Which keys a query sees: everything, the causal past, or a window of it, as one rule.
#pragma once
#include <climits>
#include <cmath>

namespace kvroof::kernels {

/// Query row t sees key j where  t + diagonal - window < j <= t + diagonal  and  j < s_kv,
/// and the first `sinks` keys whatever the window says.
///   full    diagonal = kUnbounded            causal  diagonal = s_kv - s_q (may be negative)
struct Band {
  static constexpr int kUnbounded = INT_MAX / 4;
  int s_kv = 0, diagonal = kUnbounded, window = 2 * kUnbounded, sinks = 0;

  __host__ __device__ bool sees(int t, int j) const {
    return j < s_kv && j <= t + diagonal && (j > t + diagonal - window || j < sinks);
  }
};

/// The tiles of kN keys that some row of [row, row + rows) sees: those of the sinks, then a run.
/// flash_loop takes tile(count() - 1) first. Without a window that is the first tile of all, so
/// that blocks that start together read the same keys at the same time, wherever the diagonal ends
/// them: from the diagonal down, each would be at other keys, and L2 would have to hold all of K
/// and V at work (on an H200 up to 1.18 times their reads). Windows begin at other keys for every
/// block anyhow, and are walked from the newest to the oldest.
template <int kN>
struct BandTiles {
  Band band;
  int sink_end = 0;                    // tiles 0 .. sink_end hold sinks and lie before `begin`
  int begin = 0, end = 0;              // the run
  int plain_begin = 0, plain_end = 0;  // tiles of which every row sees every key
  int origin = 0, step = 1;            // i -> tile

  __host__ __device__ BandTiles(const Band& x, int row, int rows) : band(x) {
    const int last = row + rows - 1;
    end = (at_least_0(smaller(x.s_kv, last + x.diagonal + 1)) + kN - 1) / kN;
    begin = smaller(end, at_least_0(row + x.diagonal - x.window + 1) / kN);
    plain_begin = (at_least_0(last + x.diagonal - x.window + 1) + kN - 1) / kN;
    plain_end = at_least_0(smaller(x.s_kv, row + x.diagonal + 1)) / kN;
    sink_end = smaller(begin, (x.sinks + kN - 1) / kN);
    step = x.window < Band::kUnbounded ? 1 : -1;
    origin = step > 0 ? begin - sink_end : end - 1;
  }
  __host__ __device__ int count() const { return sink_end + end - begin; }
  __host__ __device__ int tile(int i) const { return i < sink_end ? i : origin + step * i; }
  __device__ bool plain(int tile) const { return tile >= plain_begin && tile < plain_end; }

  /// Hides scores of a 16-row mma tile: element e of s[t] is row `row + e/2·8`, key
  /// `tile·kN + key + 8·t + e%2`.
  template <int kTiles>
  __device__ __forceinline__ void mask(float (&s)[kTiles][4], int tile, int row, int key) const {
    const bool past_window = tile < plain_begin;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int newest = row + e / 2 * 8 + band.diagonal, first = tile * kN + key + e % 2;
      const int end_key = smaller(band.s_kv, newest + 1) - first;
      const int begin_key = newest - band.window + 1 - first, sink_key = band.sinks - first;
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        if (8 * t >= end_key) s[t][e] = -INFINITY;
        if (past_window && 8 * t < begin_key && 8 * t >= sink_key) s[t][e] = -INFINITY;
      }
    }
  }

 private:
  __host__ __device__ static int smaller(int a, int b) { return a < b ? a : b; }
  __host__ __device__ static int at_least_0(int a) { return a > 0 ? a : 0; }
};

}  // namespace kvroof::kernels
