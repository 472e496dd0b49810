#include "kernels/link/all_reduce.hpp"

#include <algorithm>
#include <cuda/atomic>
#include <string>

#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/elementwise/vector.cuh"
#include "kernels/graph.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kThreads = 512, kBlocks = 64;
constexpr unsigned long long kPatience = 2'000'000'000;  // ns; a peer that never comes is an error

/// Flags that peers raise, one a block, rank and meeting; how many operations a block has done.
struct Signals {
  unsigned raised[3][kBlocks][kMostRanks];
  unsigned done[kBlocks];
};

struct Ranks {
  const bf16* payload[kMostRanks];
  bf16* part[kMostRanks];
  Signals* signals[kMostRanks];
  bf16* sum;  // of this rank
  int rank, n;
  std::int64_t vectors;  // of 8 bf16
};

__device__ unsigned long long nanoseconds() {
  unsigned long long t;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  return t;
}

/// This block of all ranks has come here: what each wrote before is seen by all.
__device__ void meet(const Ranks& x, int meeting, unsigned operation) {
  using Flag = cuda::atomic_ref<unsigned, cuda::thread_scope_system>;
  __syncthreads();
  const int peer = static_cast<int>(threadIdx.x);
  if (peer < x.n) {
    Flag(x.signals[peer]->raised[meeting][blockIdx.x][x.rank])
        .store(operation, cuda::memory_order_release);
    const Flag mine(x.signals[x.rank]->raised[meeting][blockIdx.x][peer]);
    const unsigned long long since = nanoseconds();
    while (static_cast<int>(mine.load(cuda::memory_order_acquire) - operation) < 0)
      if (nanoseconds() - since > kPatience) __trap();
  }
  __syncthreads();
}

/// Σ over ranks of vector i. Each rank begins with itself, so that no peer is asked by all at once;
/// the order of addition is the same everywhere.
__device__ Floats8 added(const Ranks& x, std::int64_t i) {
  Floats8 all[kMostRanks];
#pragma unroll
  for (int p = 0; p < kMostRanks; ++p)
    if (p < x.n) all[p] = load8(x.payload[p] + 8 * i);
#pragma unroll
  for (int p = 1; p < kMostRanks; ++p)
    if (p < x.n)
#pragma unroll
      for (int j = 0; j < 8; ++j) all[0].x[j] += all[p].x[j];
  return all[0];
}

template <AllReduce kHow>
__global__ __launch_bounds__(kThreads) void all_reduce(const __grid_constant__ Ranks x) {
  const unsigned operation = x.signals[x.rank]->done[blockIdx.x] + 1;
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
  meet(x, 0, operation);  // payloads are complete
  if constexpr (kHow == AllReduce::one_shot) {
    for (std::int64_t i = first; i < x.vectors; i += stride) store8(x.sum + 8 * i, added(x, i));
  } else {
    const std::int64_t share = x.vectors / x.n;
    for (std::int64_t i = first; i < share; i += stride)
      store8(x.part[x.rank] + 8 * i, added(x, x.rank * share + i));
    meet(x, 1, operation);  // the same block adds and gathers: meeting block by block is enough
    for (int step = 0; step < x.n; ++step) {
      const int p = (x.rank + step) % x.n;
      const uint4* part = reinterpret_cast<const uint4*>(x.part[p]);
      uint4* sum = reinterpret_cast<uint4*>(x.sum) + p * share;
      for (std::int64_t i = first; i < share; i += stride) sum[i] = __ldcv(part + i);
    }
  }
  meet(x, 2, operation);  // nobody reads this rank's memory any more
  if (threadIdx.x == 0) x.signals[x.rank]->done[blockIdx.x] = operation;
}

struct Events {
  std::vector<cudaEvent_t> all;
  explicit Events(int n) : all(static_cast<std::size_t>(n)) {
    for (int i = 0; i < n; ++i) {
      CUDA_CHECK(cudaSetDevice(i));
      CUDA_CHECK(cudaEventCreate(&all[static_cast<std::size_t>(i)]));
    }
  }
  ~Events() {
    for (cudaEvent_t e : all) cudaEventDestroy(e);
  }
  Events(const Events&) = delete;
};

}  // namespace

Peers::Peers(int ranks) {
  for (int i = 0; i < ranks; ++i) {
    CUDA_CHECK(cudaSetDevice(i));
    for (int peer = 0; peer < ranks; ++peer) {
      if (peer == i) continue;
      int reaches = 0;
      CUDA_CHECK(cudaDeviceCanAccessPeer(&reaches, i, peer));
      if (reaches == 0)
        throw NotOnThisGpu("GPU " + std::to_string(i) + " does not reach the memory of GPU " +
                           std::to_string(peer));
      const cudaError_t opened = cudaDeviceEnablePeerAccess(peer, 0);
      if (opened == cudaErrorPeerAccessAlreadyEnabled) cudaGetLastError();
      else CUDA_CHECK(opened);
    }
    streams_.emplace_back();
  }
  CUDA_CHECK(cudaSetDevice(0));
}

void Peers::wait() const {
  for (int i = 0; i < ranks(); ++i) {
    CUDA_CHECK(cudaSetDevice(i));
    CUDA_CHECK(cudaStreamSynchronize(stream(i)));
  }
  CUDA_CHECK(cudaSetDevice(0));
}

/// enqueue_all puts `operations` on each stream.
Stats Peers::time(const std::function<void()>& enqueue_all, int operations) const {
  const Events begin(ranks()), end(ranks());
  const auto record = [&](const Events& events) {
    for (int r = 0; r < ranks(); ++r) {
      CUDA_CHECK(cudaSetDevice(r));
      CUDA_CHECK(cudaEventRecord(events.all[static_cast<std::size_t>(r)], stream(r)));
    }
  };
  constexpr int kWarmUp = 2, kRepeats = 15;
  std::vector<double> samples;
  for (int i = 0; i < kWarmUp + kRepeats; ++i) {
    wait();
    record(begin);
    enqueue_all();
    record(end);
    wait();
    float slowest = 0;
    for (std::size_t r = 0; r < begin.all.size(); ++r) {
      float ms = 0;
      CUDA_CHECK(cudaEventElapsedTime(&ms, begin.all[r], end.all[r]));
      slowest = std::max(slowest, ms);
    }
    if (i >= kWarmUp) samples.push_back(1e-3 * slowest / operations);
  }
  return stats(samples);
}

Stats Peers::time_graphs(const std::function<void(int, cudaStream_t)>& enqueue,
                         int operations) const {
  std::vector<Graph> graphs;
  for (int r = 0; r < ranks(); ++r) {
    CUDA_CHECK(cudaSetDevice(r));
    const auto fill = [&](cudaStream_t s) {
      for (int i = 0; i < operations; ++i) enqueue(r, s);
    };
    graphs.emplace_back(fill, stream(r));
  }
  const auto launch = [&] {
    for (int r = 0; r < ranks(); ++r) {
      CUDA_CHECK(cudaSetDevice(r));
      graphs[static_cast<std::size_t>(r)](stream(r));
    }
  };
  return time(launch, operations);
}

Stats Peers::time_streams(const std::function<void()>& enqueue_all, int operations) const {
  const auto launch = [&] {
    for (int i = 0; i < operations; ++i) enqueue_all();
  };
  return time(launch, operations);
}

PeerAllReduce::PeerAllReduce(const Peers& peers, std::size_t bytes) : peers_(peers), bytes_(bytes) {
  const auto n = static_cast<std::size_t>(peers.ranks());
  if (bytes % (16 * n) != 0 || n > kMostRanks)
    throw std::invalid_argument(
        "all_reduce: bytes must be a multiple of 16 a rank, ranks at most 8");
  for (std::size_t r = 0; r < n; ++r) {
    CUDA_CHECK(cudaSetDevice(static_cast<int>(r)));
    payloads_.emplace_back(bytes), sums_.emplace_back(bytes), parts_.emplace_back(bytes / n);
    signals_.emplace_back(sizeof(Signals));
    CUDA_CHECK(cudaMemset(signals_[r].as(), 0, sizeof(Signals)));
    fill_random(payloads_[r], Dtype::bf16);
    CUDA_CHECK(cudaDeviceSynchronize());
  }
  CUDA_CHECK(cudaSetDevice(0));
}

void PeerAllReduce::launch(AllReduce how, int rank, cudaStream_t stream) const {
  Ranks x{.sum = sum(rank).as<bf16>(),
          .rank = rank,
          .n = peers_.ranks(),
          .vectors = static_cast<std::int64_t>(bytes_ / 16)};
  for (std::size_t r = 0; r < payloads_.size(); ++r) {
    x.payload[r] = payloads_[r].as<bf16>();
    x.part[r] = parts_[r].as<bf16>();
    x.signals[r] = signals_[r].as<Signals>();
  }
  const std::int64_t work = how == AllReduce::one_shot ? x.vectors : x.vectors / x.n;
  const auto blocks =
      static_cast<unsigned>(std::clamp<std::int64_t>((work + kThreads - 1) / kThreads, 1, kBlocks));
  if (how == AllReduce::one_shot)
    all_reduce<AllReduce::one_shot><<<blocks, kThreads, 0, stream>>>(x);
  else all_reduce<AllReduce::two_shot><<<blocks, kThreads, 0, stream>>>(x);
  CUDA_CHECK(cudaGetLastError());
}

Verdict PeerAllReduce::verify(AllReduce how) const {
  std::vector<double> expected(bytes_ / 2);
  for (int r = 0; r < peers_.ranks(); ++r) {
    CUDA_CHECK(cudaSetDevice(r));
    fill_random(payload(r), Dtype::bf16);
    poison(sum(r));
    CUDA_CHECK(cudaDeviceSynchronize());
    const std::vector<float> values = to_floats(payload(r), Dtype::bf16);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += values[i];
  }
  for (int r = 0; r < peers_.ranks(); ++r) {
    CUDA_CHECK(cudaSetDevice(r));
    launch(how, r, peers_.stream(r));
  }
  peers_.wait();
  Verdict worst{.ok = true};
  for (int r = 0; r < peers_.ranks(); ++r) {
    CUDA_CHECK(cudaSetDevice(r));
    const Verdict v = compare(expected, to_floats(sum(r), Dtype::bf16), 4e-3);
    if (!v.ok || v.relative_error > worst.relative_error) worst = v;
    if (!v.ok) break;
  }
  CUDA_CHECK(cudaSetDevice(0));
  return worst;
}

Stats peer_copy_rate(const Peers& peers, std::size_t bytes, bool both_ways) {
  std::vector<Buffer> from, to;
  for (int r = 0; r < 2; ++r) {
    CUDA_CHECK(cudaSetDevice(r));
    from.emplace_back(bytes), to.emplace_back(bytes);
  }
  CUDA_CHECK(cudaSetDevice(0));
  const auto copy = [&] {
    for (int r = 0; r < (both_ways ? 2 : 1); ++r) {
      const auto here = static_cast<std::size_t>(r), there = 1 - here;
      CUDA_CHECK(
          cudaMemcpyPeerAsync(to[there].as(), 1 - r, from[here].as(), r, bytes, peers.stream(r)));
    }
  };
  return rate(static_cast<double>(bytes), peers.time_streams(copy, 4));
}

}  // namespace kvroof::kernels
