// The GPU this process runs on, and device memory that frees itself.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>

namespace kvroof::kernels {

/// What the runtime reports; nothing here is measured.
struct Gpu {
  std::string name;
  int major = 0, minor = 0;
  int num_sms = 0;
  std::size_t l2_bytes = 0, memory_bytes = 0;
  double max_sm_clock_hz = 0;  // boost limit, not the clock under load
  double memory_clock_hz = 0;
  int memory_bus_bits = 0;
  int driver = 0, runtime = 0;  // 13000 = CUDA 13.0

  bool is_hopper() const { return major == 9 && minor == 0; }
  /// Transfers at both edges over the whole bus: 4917 GB/s on an H200, of which the counters know
  /// 47/48 (4812 GB/s).
  double hbm_pin_bandwidth() const { return 2 * memory_clock_hz * memory_bus_bits / 8; }
};

/// False where there is no driver or no device; never throws.
bool has_gpu();
/// The current device; throws CudaError without one.
const Gpu& gpu();

/// The kernel exists, but this GPU or this build cannot run it; the text says why.
struct NotOnThisGpu : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Whether this build holds code that the current device can run; false for a device older or newer
/// than the architectures it was built for.
bool built_for_gpu();
/// Throws NotOnThisGpu unless wgmma, TMA and setmaxnreg code (sm_90a)
/// is in this build and runs here.
void require_sm90a(const char* kernel);

/// Device memory. Copies share it, so that closures of a Case can hold it; the last one frees it.
class Buffer {
 public:
  Buffer() = default;
  /// Throws NotOnThisGpu where the device has not so much memory left.
  explicit Buffer(std::size_t bytes);
  std::size_t bytes() const { return bytes_; }
  template <class T = void>
  T* as() const {
    return static_cast<T*>(memory_.get());
  }

 private:
  std::shared_ptr<void> memory_;
  std::size_t bytes_ = 0;
};

/// A stream of our own that does not wait for the default stream.
class Stream {
 public:
  Stream();
  operator cudaStream_t() const { return stream_.get(); }

 private:
  std::shared_ptr<CUstream_st> stream_;
};

}  // namespace kvroof::kernels
