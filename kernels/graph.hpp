// Work of a stream recorded as a CUDA graph, replayed with one call.
#pragma once
#include <cuda_runtime.h>

#include <functional>
#include <memory>

namespace kvroof::kernels {

/// What record(stream) launches on `stream`, instantiated and uploaded; copies share it.
class Graph {
 public:
  Graph(const std::function<void(cudaStream_t)>& record, cudaStream_t stream);
  void operator()(cudaStream_t stream) const;

 private:
  std::shared_ptr<CUgraphExec_st> exec_;
};

}  // namespace kvroof::kernels
