// All-reduce over peers' memory, one process, n GPUs: what engines use inside a node for the
// messages of a decode step. model/collective.hpp has the law.
//   one-shot   every rank reads every peer's payload and adds            (n−1)·S received a rank
//   two-shot   a rank adds its 1/n of all payloads, then gathers         2(n−1)/n·S
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <vector>

#include "kernels/bench.hpp"
#include "kernels/device.hpp"

namespace kvroof::kernels {

inline constexpr int kMostRanks = 8;

enum class AllReduce { one_shot, two_shot };

/// GPUs of this machine that reach each other's memory, with a stream each.
class Peers {
 public:
  /// Opens peer access among GPUs 0 .. ranks − 1. Throws NotOnThisGpu where two of them have none.
  explicit Peers(int ranks);
  int ranks() const { return static_cast<int>(streams_.size()); }
  cudaStream_t stream(int rank) const { return streams_[static_cast<std::size_t>(rank)]; }

  /// Seconds an operation, of the slowest rank, where each rank runs `operations` of them back to
  /// back: as a graph a rank, which enqueue(rank, stream) fills with one; or straight on the
  /// streams, by a function that enqueues one on all of them.
  Stats time_graphs(const std::function<void(int, cudaStream_t)>& enqueue, int operations) const;
  Stats time_streams(const std::function<void()>& enqueue_all, int operations) const;
  /// Waits for all streams.
  void wait() const;

 private:
  Stats time(const std::function<void()>& enqueue_all, int operations) const;
  std::vector<Stream> streams_;
};

/// Payloads, sums and signals of one all-reduce in bf16 of `bytes` a rank, a multiple of 16·ranks.
class PeerAllReduce {
 public:
  PeerAllReduce(const Peers& peers, std::size_t bytes);
  void launch(AllReduce how, int rank, cudaStream_t stream) const;
  /// Against the sum in double, on fresh payloads.
  Verdict verify(AllReduce how) const;
  const Buffer& payload(int rank) const { return payloads_[static_cast<std::size_t>(rank)]; }
  const Buffer& sum(int rank) const { return sums_[static_cast<std::size_t>(rank)]; }

 private:
  const Peers& peers_;
  std::size_t bytes_;
  std::vector<Buffer> payloads_, sums_, parts_, signals_;
};

/// Copies of `bytes` from GPU 0 to GPU 1, or both ways at once: bytes a second in one direction.
Stats peer_copy_rate(const Peers& peers, std::size_t bytes, bool both_ways);

}  // namespace kvroof::kernels
