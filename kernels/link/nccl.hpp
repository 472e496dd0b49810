// NCCL's all-reduce, to compare with. Opened at run time: the program builds and runs without it.
#pragma once
#include <cuda_runtime.h>

#include <memory>
#include <string>
#include <vector>

namespace kvroof::kernels {

/// One communicator a GPU, all in this process.
/// NVLink SHARP stays off unless NCCL_NVLS_ENABLE says otherwise.
class Nccl {
 public:
  /// nullptr where libnccl.so.2 is not found. Throws std::runtime_error where it fails.
  static std::unique_ptr<Nccl> open(int ranks);
  ~Nccl();
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  std::string version() const;
  /// All ranks' all-reduce of `count` bf16, out of place.
  void all_reduce(const std::vector<const void*>& from, const std::vector<void*>& to,
                  std::size_t count, const std::vector<cudaStream_t>& streams) const;

 private:
  Nccl() = default;
  struct Calls;
  std::unique_ptr<Calls> calls_;
  std::vector<void*> communicators_;
};

}  // namespace kvroof::kernels
