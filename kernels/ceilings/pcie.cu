// Host link: copies between pinned host memory and the device, one way and both ways at once.
#include "kernels/ceilings/measure.hpp"
#include "kernels/check.hpp"
#include "kernels/device.hpp"

namespace kvroof::kernels {
namespace {

constexpr std::size_t kBytes = 256u << 20;

struct Pinned {
  void* data = nullptr;
  Pinned() { CUDA_CHECK(cudaMallocHost(&data, kBytes)); }
  ~Pinned() { cudaFreeHost(data); }
  Pinned(const Pinned&) = delete;
};

}  // namespace

std::vector<Ceiling> measure_pcie() {
  const Pinned in, out;
  const Buffer device_in(kBytes), device_out(kBytes);
  const Stream second;
  cudaEvent_t fork = nullptr, join = nullptr;
  CUDA_CHECK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));

  const Launch up = [&](cudaStream_t s) {
    CUDA_CHECK(cudaMemcpyAsync(device_in.as(), in.data, kBytes, cudaMemcpyHostToDevice, s));
  };
  const Launch down = [&](cudaStream_t s) {
    CUDA_CHECK(cudaMemcpyAsync(out.data, device_out.as(), kBytes, cudaMemcpyDeviceToHost, s));
  };
  const Launch both = [&](cudaStream_t s) {
    CUDA_CHECK(cudaEventRecord(fork, s));
    CUDA_CHECK(cudaStreamWaitEvent(second, fork));
    up(s);
    down(second);
    CUDA_CHECK(cudaEventRecord(join, second));
    CUDA_CHECK(cudaStreamWaitEvent(s, join));
  };
  const Timing timing{.warmup = 2, .repeats = 10, .launches = 2, .submit = Submit::stream};
  std::vector<Ceiling> rows;
  const auto add = [&](const char* name, const char* variant, double bytes, const Launch& launch) {
    rows.push_back({.name = name,
                    .variant = variant,
                    .unit = "B/s",
                    .value = rate(bytes, time_launches(launch, timing)),
                    .intended = bytes});
  };
  add("pcie_to_device", "pinned, 256 MiB", kBytes, up);
  add("pcie_to_host", "pinned, 256 MiB", kBytes, down);
  add("pcie_both", "pinned, 256 MiB each way, sum", 2.0 * kBytes, both);
  cudaEventDestroy(fork);
  cudaEventDestroy(join);
  return rows;
}

}  // namespace kvroof::kernels
