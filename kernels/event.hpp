// A CUDA event as a value, and the seconds between two.
#pragma once
#include <cuda_runtime.h>

#include <memory>

#include "kernels/check.hpp"

namespace kvroof::kernels {

class Event {
 public:
  Event() {
    cudaEvent_t e = nullptr;
    CUDA_CHECK(cudaEventCreate(&e));
    event_ = std::shared_ptr<CUevent_st>(e, [](cudaEvent_t q) { cudaEventDestroy(q); });
  }
  void record(cudaStream_t stream) const { CUDA_CHECK(cudaEventRecord(event_.get(), stream)); }
  void wait() const { CUDA_CHECK(cudaEventSynchronize(event_.get())); }
  double seconds_since(const Event& earlier) const {
    float ms = 0;
    CUDA_CHECK(cudaEventElapsedTime(&ms, earlier.event_.get(), event_.get()));
    return 1e-3 * ms;
  }
  operator cudaEvent_t() const { return event_.get(); }

 private:
  std::shared_ptr<CUevent_st> event_;
};

}  // namespace kvroof::kernels
