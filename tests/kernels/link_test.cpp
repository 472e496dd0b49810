// All-reduce through peers' memory against the sum on the CPU, on as many GPUs as there are; a GPU
// alone meets itself.
#include "kernels/link/all_reduce.hpp"

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/check.hpp"

using namespace kvroof::kernels;

TEST_CASE("all ranks hold the sum of all payloads, however often they meet") {
  int gpus = 0;
  CUDA_CHECK(cudaGetDeviceCount(&gpus));
  for (int ranks = 1; ranks <= std::min(gpus, kMostRanks); ranks *= 2) {
    CAPTURE(ranks);
    const Peers peers(ranks);
    // One vector a rank; a part of a block; more than all blocks take at once.
    for (const std::size_t bytes : {std::size_t(16 * ranks), std::size_t(4096 * ranks),
                                    std::size_t(1 << 20), std::size_t(3 << 20)}) {
      CAPTURE(bytes);
      const PeerAllReduce reduce(peers, bytes);
      for (const AllReduce how : {AllReduce::one_shot, AllReduce::two_shot, AllReduce::one_shot}) {
        const Verdict v = reduce.verify(how);
        INFO("error " << v.relative_error << " " << v.detail);
        CHECK(v.ok);
      }
      CHECK(peers
                .time_graphs(
                    [&](int rank, cudaStream_t stream) {
                      reduce.launch(AllReduce::two_shot, rank, stream);
                    },
                    3)
                .median > 0);
      CHECK(reduce.verify(AllReduce::two_shot).ok);
    }
  }
}

TEST_CASE("a payload that does not divide among the ranks is refused") {
  const Peers peers(1);
  CHECK_THROWS_AS(PeerAllReduce(peers, 24), std::invalid_argument);
}
