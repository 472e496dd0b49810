#include "kernels/link/nccl.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>

namespace kvroof::kernels {
namespace {

// nccl.h: ncclBfloat16, ncclSum; stable across version 2.
constexpr int kBfloat16 = 9, kSum = 0;

}  // namespace

/// The calls of nccl.h that are made here. A communicator is a pointer, a result an int, 0 is fine.
struct Nccl::Calls {
  void* library = nullptr;
  int (*version)(int*) = nullptr;
  int (*init_all)(void**, int, const int*) = nullptr;
  int (*destroy)(void*) = nullptr;
  int (*all_reduce)(const void*, void*, std::size_t, int, int, void*, cudaStream_t) = nullptr;
  int (*group_start)() = nullptr;
  int (*group_end)() = nullptr;
  const char* (*text)(int) = nullptr;

  template <class Function>
  void resolve(const char* name, Function& out) {
    out = reinterpret_cast<Function>(dlsym(library, name));
    if (out == nullptr) throw std::runtime_error(std::string("libnccl.so.2 lacks ") + name);
  }
  void check(int result, const char* call) const {
    if (result != 0) throw std::runtime_error(std::string(call) + ": " + text(result));
  }
};

std::unique_ptr<Nccl> Nccl::open(int ranks) {
  void* library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  setenv("NCCL_NVLS_ENABLE", "0", 0);
  auto calls = std::make_unique<Calls>();
  calls->library = library;
  calls->resolve("ncclGetVersion", calls->version);
  calls->resolve("ncclCommInitAll", calls->init_all);
  calls->resolve("ncclCommDestroy", calls->destroy);
  calls->resolve("ncclAllReduce", calls->all_reduce);
  calls->resolve("ncclGroupStart", calls->group_start);
  calls->resolve("ncclGroupEnd", calls->group_end);
  calls->resolve("ncclGetErrorString", calls->text);
  std::unique_ptr<Nccl> nccl(new Nccl);
  std::vector<void*> communicators(static_cast<std::size_t>(ranks));
  calls->check(calls->init_all(communicators.data(), ranks, nullptr), "ncclCommInitAll");
  nccl->calls_ = std::move(calls);
  nccl->communicators_ = std::move(communicators);
  return nccl;
}

Nccl::~Nccl() {
  for (void* communicator : communicators_) calls_->destroy(communicator);
}

std::string Nccl::version() const {
  int v = 0;
  calls_->check(calls_->version(&v), "ncclGetVersion");
  return std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." +
         std::to_string(v % 100);
}

void Nccl::all_reduce(const std::vector<const void*>& from, const std::vector<void*>& to,
                      std::size_t count, const std::vector<cudaStream_t>& streams) const {
  calls_->check(calls_->group_start(), "ncclGroupStart");
  for (std::size_t r = 0; r < communicators_.size(); ++r)
    calls_->check(
        calls_->all_reduce(from[r], to[r], count, kBfloat16, kSum, communicators_[r], streams[r]),
        "ncclAllReduce");
  calls_->check(calls_->group_end(), "ncclGroupEnd");
}

}  // namespace kvroof::kernels
