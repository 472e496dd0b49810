// Copy bandwidth: to[i] = from[i].                                                 entry: hbm_copy
//
//   once   a block of 256 threads for every 4 KiB, each thread moves 16 bytes: the driver's way,
//          and the fastest on H200; the order in which blocks finish mixes reads and writes best
//   ldg    a block per 512 threads that fit, every thread loads kUnroll x 16 bytes, then stores
//          them
//   bulk   one thread per block: a ring of `stages` tiles, loaded by the copy engine, stored by it
//          as soon as they have landed, and loaded again once the store has read them (sm_90)
#include "kernels/ceilings/bulk.cuh"
#include "kernels/ceilings/loads.hpp"
#include "kernels/ceilings/walk.hpp"
#include "kernels/check.hpp"
#include "kernels/data.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kThreads = 512, kUnroll = 4;
constexpr int kLdgTile = kThreads * kUnroll * 16;  // 32 KiB
constexpr int kOnceThreads = 256, kOnceTile = kOnceThreads * 16;
constexpr int kMaxStages = 32;
constexpr int kPending = 2;  // stores whose tile is not yet free for the next load

__global__ void __launch_bounds__(kThreads)
    copy_ldg(const char* from, char* to, Walk walk, ClockSample* clock) {
  const Stopwatch watch = Stopwatch::start();
  Cursor tile(walk, blockIdx.x, gridDim.x);
  for (long long step = 0; step < walk.steps; ++step, tile.next()) {
    const long long at = tile.tile * kLdgTile + threadIdx.x * 16;
    uint4 v[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      v[u] = __ldcs(reinterpret_cast<const uint4*>(from + at + u * kThreads * 16));
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      __stcs(reinterpret_cast<uint4*>(to + at + u * kThreads * 16), v[u]);
  }
  watch.stop(clock);
}

__global__ void __launch_bounds__(kOnceThreads) copy_once(const uint4* from, uint4* to) {
  const std::size_t i = blockIdx.x * std::size_t{kOnceThreads} + threadIdx.x;
  to[i] = from[i];
}

__global__ void __launch_bounds__(32) copy_bulk(const char* from, char* to, Walk walk,
                                                int tile_bytes, int stages, ClockSample* clock) {
#if __CUDA_ARCH__ >= 900
  const Stopwatch watch = Stopwatch::start();
  extern __shared__ __align__(128) char ring[];
  __shared__ hopper::Mbarrier full[kMaxStages];
  if (threadIdx.x != 0) return;
  for (int s = 0; s < stages; ++s) full[s].init(1);
  hopper::fence_barrier_init();

  Cursor source(walk, blockIdx.x, gridDim.x), target = source;
  const auto load = [&](long long step) {
    const auto s = static_cast<int>(step % stages);
    full[s].arrive_expect(tile_bytes);
    bulk_load(ring + s * tile_bytes, from + source.tile * tile_bytes, tile_bytes, full[s]);
    source.next();
  };
  for (long long step = 0; step < stages && step < walk.steps; ++step) load(step);
  for (long long step = 0; step < walk.steps; ++step) {
    const auto s = static_cast<int>(step % stages);
    full[s].wait(static_cast<unsigned>(step / stages & 1));
    bulk_store(to + target.tile * tile_bytes, ring + s * tile_bytes, tile_bytes);
    target.next();
    wait_bulk_read<kPending>();  // the tile of step - kPending is free
    const long long next = step - kPending + stages;
    if (step >= kPending && next < walk.steps) load(next);
  }
  wait_bulk_written();
  watch.stop_alone(clock);
#endif
}

}  // namespace

Load copy_load(const Args& args) {
  const bool bulk = arg(args, "bulk", 0) != 0;
  const bool once = !bulk && arg(args, "once", 1) != 0;
  if (bulk && gpu().major < 9) throw NotOnThisGpu("hbm_copy with bulk=1: needs sm_90 or newer");
  const auto per_sm = static_cast<int>(arg(args, "blocks_per_sm", bulk ? 1 : 4));
  const auto stages = static_cast<int>(arg(args, "stages", 6));
  const auto tile_bytes = bulk ? static_cast<int>(1024 * arg(args, "tile_kib", 32)) : kLdgTile;
  const long long blocks = static_cast<long long>(per_sm) * gpu().num_sms;
  const auto footprint = static_cast<long long>(arg(args, "mib", 4096) * 1024 * 1024);
  if (bulk &&
      (stages <= kPending || stages > kMaxStages || stages * tile_bytes * per_sm > 227 * 1024))
    throw std::invalid_argument("hbm_copy: 3 … 32 stages, together at most 227 KiB per SM");

  Walk walk{.order = static_cast<Order>(static_cast<int>(arg(args, "order", 0))),
            .tiles = footprint / tile_bytes};
  walk.steps = walk.tiles / blocks;
  const long long once_blocks = footprint / kOnceTile;
  const double copied = once ? static_cast<double>(once_blocks) * kOnceTile
                             : static_cast<double>(walk.steps * blocks) * tile_bytes;

  const auto bytes = static_cast<std::size_t>(footprint);
  const Buffer from(bytes), to(bytes), clock = clock_buffer();
  fill_random(from, Dtype::int8);
  const std::size_t shared = bulk ? static_cast<std::size_t>(stages) * tile_bytes : 0;
  if (bulk)
    CUDA_CHECK(cudaFuncSetAttribute(copy_bulk, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared)));
  Case c;
  c.name = once   ? "once, 16 B per thread"
           : bulk ? "bulk " + std::to_string(tile_bytes / 1024) + " KiB x " +
                        std::to_string(stages) + " x " + std::to_string(per_sm) + "/SM"
                  : "ldg " + std::to_string(per_sm) + "/SM";
  c.op = {.name = "copy", .op_class = OpClass::elementwise, .math = MathType::fp32};
  c.op.work.read.activations = Bytes{copied};
  c.op.work.written.activations = Bytes{copied};
  c.op.work.l2_to_sm = Bytes{copied};
  c.op.work.ctas = static_cast<double>(once ? once_blocks : blocks);
  c.op.work.launches = 1;
  c.launch = [=](cudaStream_t stream) {
    if (once)
      copy_once<<<static_cast<unsigned>(once_blocks), kOnceThreads, 0, stream>>>(from.as<uint4>(),
                                                                                 to.as<uint4>());
    else if (bulk)
      copy_bulk<<<static_cast<unsigned>(blocks), 32, shared, stream>>>(
          from.as<char>(), to.as<char>(), walk, tile_bytes, stages, clock.as<ClockSample>());
    else
      copy_ldg<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
          from.as<char>(), to.as<char>(), walk, clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
  };
  c.verify = [=]() -> Verdict {
    poison(to);
    c.launch(nullptr);
    CUDA_CHECK(cudaDeviceSynchronize());
    const auto in = to_host<std::uint64_t>(from), out = to_host<std::uint64_t>(to);
    const auto words = static_cast<std::size_t>(copied / sizeof(std::uint64_t));
    for (std::size_t i = 0; i < words; ++i)
      if (in[i] != out[i]) return {.relative_error = 1, .detail = "word " + std::to_string(i)};
    return {.ok = true};
  };
  return {std::move(c), clock};
}

Entry hbm_copy_entry() {
  return {"hbm_copy",
          "HBM copy: read and write streams far larger than L2",
          {{{"mib", 4096}, {"bulk", 0}, {"once", 1}},
           {{"mib", 4096}, {"bulk", 1}},
           {{"mib", 4096}, {"bulk", 0}, {"once", 0}}},
          [](const Args& a) { return copy_load(a).kernel; }};
}

}  // namespace kvroof::kernels
