#include "kernels/graph.hpp"

#include "kernels/check.hpp"

namespace kvroof::kernels {

Graph::Graph(const std::function<void(cudaStream_t)>& record, cudaStream_t stream) {
  cudaGraph_t graph = nullptr;
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  record(stream);
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t exec = nullptr;
  const cudaError_t made = cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  CUDA_CHECK(made);
  exec_ = std::shared_ptr<CUgraphExec_st>(exec, [](cudaGraphExec_t e) { cudaGraphExecDestroy(e); });
  CUDA_CHECK(cudaGraphUpload(exec, stream));
}

void Graph::operator()(cudaStream_t stream) const {
  CUDA_CHECK(cudaGraphLaunch(exec_.get(), stream));
}

}  // namespace kvroof::kernels
