// Read bandwidth: data -> registers or shared memory, nothing written.        entries: hbm_read,
// l2_read
//
//   ldg    every thread keeps kUnroll 16-byte loads in flight
//   bulk   one thread per block keeps a ring of `stages` copies of `tile` bytes in flight (sm_90)
//
// hbm_read streams through far more data than L2 holds, once. l2_read goes around a footprint until
// the same number of bytes has been read; the footprint at which the rate falls is what L2 can
// hold. L1 keeps nothing: ldg uses ld.global.cg, the copy engine does not pass L1.
#include "kernels/ceilings/bulk.cuh"
#include "kernels/ceilings/entries.hpp"
#include "kernels/ceilings/load.hpp"
#include "kernels/ceilings/loads.hpp"
#include "kernels/ceilings/walk.hpp"
#include "kernels/check.hpp"
#include "kernels/data.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kThreads = 512, kUnroll = 8;
constexpr int kLdgTile = kThreads * kUnroll * 16;  // 64 KiB
constexpr int kMaxStages = 64;

__global__ void __launch_bounds__(kThreads)
    read_ldg(const char* data, Walk walk, unsigned* never, ClockSample* clock) {
  const Stopwatch watch = Stopwatch::start();
  unsigned seen = 0;
  Cursor at(walk, blockIdx.x, gridDim.x);
  for (long long step = 0; step < walk.steps; ++step, at.next()) {
    const char* tile = data + at.tile * kLdgTile;
    uint4 v[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];"
                   : "=r"(v[u].x), "=r"(v[u].y), "=r"(v[u].z), "=r"(v[u].w)
                   : "l"(tile + (u * kThreads + threadIdx.x) * 16));
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) seen |= v[u].x & v[u].y & v[u].z & v[u].w;
  }
  if (seen == 0x5a5a5a5bu) *never = seen;  // random data never gives just this
  watch.stop(clock);
}

/// Ring of copies: stage s is asked for again as soon as its bytes have landed; nobody reads them.
__global__ void __launch_bounds__(32)
    read_bulk(const char* data, Walk walk, int tile_bytes, int stages, ClockSample* clock) {
#if __CUDA_ARCH__ >= 900
  const Stopwatch watch = Stopwatch::start();
  extern __shared__ __align__(128) char ring[];
  __shared__ hopper::Mbarrier full[kMaxStages];
  if (threadIdx.x != 0) return;
  for (int s = 0; s < stages; ++s) full[s].init(1);
  hopper::fence_barrier_init();

  Cursor at(walk, blockIdx.x, gridDim.x);
  int stage = 0;
  unsigned parity = 0;
  for (long long step = 0; step < walk.steps + stages; ++step) {
    if (step >= stages) full[stage].wait(parity);
    if (step < walk.steps) {
      full[stage].arrive_expect(tile_bytes);
      bulk_load(ring + stage * tile_bytes, data + at.tile * tile_bytes, tile_bytes, full[stage]);
      at.next();
    }
    if (++stage == stages) {
      stage = 0;
      if (step >= stages) parity ^= 1;
    }
  }
  watch.stop_alone(clock);
#endif
}

}  // namespace

Load read_load(const Args& args) {
  const bool bulk = arg(args, "bulk", gpu().major >= 9 ? 1 : 0) != 0;
  if (bulk && gpu().major < 9) throw NotOnThisGpu("hbm_read with bulk=1: needs sm_90 or newer");
  const auto per_sm = static_cast<int>(arg(args, "blocks_per_sm", bulk ? 1 : 4));
  const auto stages = static_cast<int>(arg(args, "stages", 6));
  const auto tile_bytes = bulk ? static_cast<int>(1024 * arg(args, "tile_kib", 32)) : kLdgTile;
  const long long blocks = static_cast<long long>(per_sm) * gpu().num_sms;
  const auto footprint = static_cast<long long>(arg(args, "mib", 4096) * 1024 * 1024);
  const auto order = static_cast<Order>(static_cast<int>(arg(args, "order", 0)));
  const auto wanted = static_cast<long long>(arg(args, "total_mib", 0) * 1024 * 1024);
  if (bulk && (stages < 1 || stages > kMaxStages || stages * tile_bytes * per_sm > 227 * 1024))
    throw std::invalid_argument("hbm_read: stages · tile_kib · blocks_per_sm must fit in 227 KiB");

  Walk walk{.order = order, .tiles = footprint / tile_bytes};
  walk.steps = (wanted > 0 ? wanted : footprint) / (tile_bytes * blocks);
  const double read = static_cast<double>(walk.steps * blocks) * tile_bytes;
  const double unique = std::min(read, static_cast<double>(walk.tiles * tile_bytes));

  const Buffer data(static_cast<std::size_t>(footprint)), never(4), clock = clock_buffer();
  fill_random(data, Dtype::int8);
  const std::size_t shared = bulk ? static_cast<std::size_t>(stages) * tile_bytes : 0;
  if (bulk)
    CUDA_CHECK(cudaFuncSetAttribute(read_bulk, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared)));
  Case c;
  c.name = std::string(bulk ? "bulk " + std::to_string(tile_bytes / 1024) + " KiB x " +
                                  std::to_string(stages) + " x " + std::to_string(per_sm) + "/SM"
                            : "ldg " + std::to_string(per_sm) + "/SM");
  c.op = {.name = "read", .op_class = OpClass::elementwise, .math = MathType::fp32};
  c.op.work.read.activations = Bytes{unique};
  c.op.work.l2_to_sm = Bytes{read};
  c.op.work.ctas = static_cast<double>(blocks);
  c.op.work.launches = 1;
  c.launch = [=](cudaStream_t stream) {
    if (bulk)
      read_bulk<<<static_cast<unsigned>(blocks), 32, shared, stream>>>(
          data.as<char>(), walk, tile_bytes, stages, clock.as<ClockSample>());
    else
      read_ldg<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
          data.as<char>(), walk, never.as<unsigned>(), clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
  };
  return {std::move(c), clock};
}

Entry hbm_read_entry() {
  return {"hbm_read",
          "HBM read: a stream far larger than L2",
          {{{"mib", 4096}, {"bulk", 1}}, {{"mib", 4096}, {"bulk", 0}}},
          [](const Args& a) { return read_load(a).kernel; }};
}

Entry l2_read_entry() {
  return {"l2_read",
          "L2 read: every SM goes around one footprint",
          {{{"mib", 16}, {"total_mib", 8192}}, {{"mib", 32}, {"total_mib", 8192}}},
          [](Args a) {
            a.try_emplace("mib", 16);
            a.try_emplace("total_mib", 8192);
            a.try_emplace("order", static_cast<double>(Order::shared));
            a.try_emplace("bulk", 0);
            return read_load(a).kernel;
          }};
}

}  // namespace kvroof::kernels
