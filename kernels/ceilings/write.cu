// Write bandwidth: registers or shared memory -> data, nothing read.              entry: hbm_write
//
//   stg    every thread stores 16 bytes kUnroll times per step
//   bulk   one thread per block sends the same `tile` bytes of shared memory again and again
//          (sm_90)
//
// Whole lines are written, so L2 never reads them from HBM first. Up to an L2 of dirty lines is
// still on the chip when the kernel ends: the figure holds for launches that follow one another.
#include "kernels/ceilings/bulk.cuh"
#include "kernels/ceilings/loads.hpp"
#include "kernels/ceilings/walk.hpp"
#include "kernels/check.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kThreads = 512, kUnroll = 4;
constexpr int kStgTile = kThreads * kUnroll * 16;  // 32 KiB
[[maybe_unused]] constexpr int kPending = 4;       // sm_90: bulk stores in flight per block

__global__ void __launch_bounds__(kThreads) write_stg(char* data, Walk walk, ClockSample* clock) {
  const Stopwatch watch = Stopwatch::start();
  const unsigned x = threadIdx.x * 0x9e3779b9u;
  Cursor at(walk, blockIdx.x, gridDim.x);
  for (long long step = 0; step < walk.steps; ++step, at.next()) {
    char* tile = data + at.tile * kStgTile;
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      *reinterpret_cast<uint4*>(tile + (u * kThreads + threadIdx.x) * 16) =
          uint4{x, x ^ unsigned(step), x + unsigned(u), ~x};
  }
  watch.stop(clock);
}

__global__ void __launch_bounds__(32)
    write_bulk(char* data, Walk walk, int tile_bytes, ClockSample* clock) {
#if __CUDA_ARCH__ >= 900
  const Stopwatch watch = Stopwatch::start();
  extern __shared__ __align__(128) char tile[];
  for (int i = threadIdx.x; i < tile_bytes / 4; i += 32)
    reinterpret_cast<unsigned*>(tile)[i] = static_cast<unsigned>(i) * 0x9e3779b9u;
  hopper::fence_proxy_async();
  __syncwarp();
  if (threadIdx.x != 0) return;
  Cursor at(walk, blockIdx.x, gridDim.x);
  for (long long step = 0; step < walk.steps; ++step, at.next()) {
    bulk_store(data + at.tile * tile_bytes, tile, tile_bytes);
    wait_bulk_read<kPending>();
  }
  wait_bulk_written();
  watch.stop_alone(clock);
#endif
}

}  // namespace

Load write_load(const Args& args) {
  const bool bulk = arg(args, "bulk", 0) != 0;
  if (bulk && gpu().major < 9) throw NotOnThisGpu("hbm_write with bulk=1: needs sm_90 or newer");
  const auto per_sm = static_cast<int>(arg(args, "blocks_per_sm", bulk ? 2 : 4));
  const auto tile_bytes = bulk ? static_cast<int>(1024 * arg(args, "tile_kib", 16)) : kStgTile;
  const long long blocks = static_cast<long long>(per_sm) * gpu().num_sms;
  const auto footprint = static_cast<long long>(arg(args, "mib", 4096) * 1024 * 1024);
  Walk walk{.order = static_cast<Order>(static_cast<int>(arg(args, "order", 0))),
            .tiles = footprint / tile_bytes};
  walk.steps = walk.tiles / blocks;
  const double written = static_cast<double>(walk.steps * blocks) * tile_bytes;

  const Buffer data(static_cast<std::size_t>(footprint)), clock = clock_buffer();
  const std::size_t shared = bulk ? static_cast<std::size_t>(tile_bytes) : 0;
  if (bulk)
    CUDA_CHECK(cudaFuncSetAttribute(write_bulk, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared)));
  Case c;
  c.name = std::string(bulk ? "bulk " + std::to_string(tile_bytes / 1024) + " KiB" : "stg") +
           " x " + std::to_string(per_sm) + "/SM";
  c.op = {.name = "write", .op_class = OpClass::elementwise, .math = MathType::fp32};
  c.op.work.written.activations = Bytes{written};
  c.op.work.ctas = static_cast<double>(blocks);
  c.op.work.launches = 1;
  c.launch = [=](cudaStream_t stream) {
    if (bulk)
      write_bulk<<<static_cast<unsigned>(blocks), 32, shared, stream>>>(
          data.as<char>(), walk, tile_bytes, clock.as<ClockSample>());
    else
      write_stg<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(data.as<char>(), walk,
                                                                        clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
  };
  return {std::move(c), clock};
}

Entry hbm_write_entry() {
  return {"hbm_write",
          "HBM write: a stream far larger than L2",
          {{{"mib", 4096}, {"bulk", 0}}, {{"mib", 4096}, {"bulk", 1}}},
          [](const Args& a) { return write_load(a).kernel; }};
}

}  // namespace kvroof::kernels
