// What L2 takes from SMs while it keeps everything: sums that it adds up itself
// (red.global.add.v4.f32), or stores.                                             entry: l2_add
//
//   mib        footprint, well inside L2        total_mib  bytes sent in all, round and round
//   store = 1  plain stores of 16 bytes instead of four sums
#include <stdexcept>

#include "kernels/ceilings/loads.hpp"
#include "kernels/check.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kThreads = 512;

__device__ __forceinline__ void add(float4* at, float x) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.global.add.v4.f32 [%0], {%1, %1, %1, %1};" ::"l"(at), "f"(x) : "memory");
#else
  float* to = reinterpret_cast<float*>(at);
#pragma unroll
  for (int i = 0; i < 4; ++i) atomicAdd(to + i, x);
#endif
}

/// Each round a block moves on to another block's part, so that no SM keeps a line to itself.
template <bool kStore>
__global__ void __launch_bounds__(kThreads)
    add_rounds(float4* data, int quads, int rounds, ClockSample* clock) {
  const Stopwatch watch = Stopwatch::start();
  const auto x = static_cast<float>(threadIdx.x);
  const int all = static_cast<int>(gridDim.x) * kThreads;
  for (int round = 0; round < rounds; ++round) {
    const int block = static_cast<int>((blockIdx.x + 37 * round) % gridDim.x);
    for (int i = block * kThreads + static_cast<int>(threadIdx.x); i < quads; i += all) {
      if constexpr (kStore) data[i] = make_float4(x, x, x, x);
      else add(data + i, x);
    }
  }
  watch.stop(clock);
}

}  // namespace

Load add_load(const Args& args) {
  const bool store = arg(args, "store", 0) != 0;
  const double mib = arg(args, "mib", 8), bytes = mib * 1024 * 1024;
  const int quads = static_cast<int>(bytes / sizeof(float4));
  const int rounds = static_cast<int>(arg(args, "total_mib", 8192) / mib);
  if (quads < 1 || rounds < 1) throw std::invalid_argument("l2_add: total_mib >= mib > 0");
  const auto blocks =
      static_cast<unsigned>(arg(args, "blocks_per_sm", 2)) * static_cast<unsigned>(gpu().num_sms);

  const Buffer data(static_cast<std::size_t>(bytes)), clock = clock_buffer();
  CUDA_CHECK(cudaMemset(data.as(), 0, data.bytes()));
  Case c;
  c.name = std::string(store ? "stores" : "sums") + ", " + std::to_string(quads / 65536) + " MiB";
  c.op = {.name = "add", .op_class = OpClass::elementwise, .math = MathType::fp32};
  c.op.work.l2_added = 16. * rounds * Bytes{1. * quads};
  c.op.work.ctas = static_cast<double>(blocks);
  c.op.work.launches = 1;
  c.launch = [=](cudaStream_t stream) {
    const auto kernel = store ? add_rounds<true> : add_rounds<false>;
    kernel<<<blocks, kThreads, 0, stream>>>(data.as<float4>(), quads, rounds,
                                            clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
  };
  return {std::move(c), clock};
}

Entry l2_add_entry() {
  return {"l2_add",
          "sums that L2 adds up for the SMs",
          {{{"mib", 8}}, {{"mib", 8}, {"store", 1}}},
          [](const Args& a) { return add_load(a).kernel; }};
}

}  // namespace kvroof::kernels
