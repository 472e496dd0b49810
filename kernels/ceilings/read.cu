// Read bandwidth: data -> registers or shared memory, nothing written.  entries: hbm_read, l2_read
//
//   ldg     every thread keeps kUnroll 16-byte loads in flight
//   bulk    one thread per block keeps a ring of `stages` copies of `tile` bytes in flight (sm_90)
//   tensor  the same ring through a tensor map: boxes [tile / 128][128] of bytes, as kernels fetch
//           operands; `promotion` is what L2 fetches at a miss, 128 or 256 bytes
//
// hbm_read streams through far more data than L2 holds, once. l2_read goes around a footprint until
// the same number of bytes has been read; the footprint at which the rate falls is what L2 can
// hold. L1 keeps nothing: ldg uses ld.global.cg, the copy engine does not pass L1.
#include <type_traits>

#include "kernels/ceilings/bulk.cuh"
#include "kernels/ceilings/entries.hpp"
#include "kernels/ceilings/load.hpp"
#include "kernels/ceilings/loads.hpp"
#include "kernels/ceilings/walk.hpp"
#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/hopper/tma.cuh"

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

Boxes boxes(const Buffer& data, int tile_bytes, int promotion) {
  const cuuint64_t sizes[] = {kBoxRow, data.bytes() / kBoxRow}, row[] = {kBoxRow};
  const cuuint32_t box[] = {kBoxRow, static_cast<cuuint32_t>(tile_bytes / kBoxRow)};
  const cuuint32_t steps[] = {1, 1};
  Boxes out{};
  const CUresult r = hopper::encode_function()(
      &out.map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, data.as(), sizes, row, box, steps,
      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      promotion == 256 ? CU_TENSOR_MAP_L2_PROMOTION_L2_256B : CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (r != CUDA_SUCCESS)
    throw std::runtime_error("cuTensorMapEncodeTiled: error " + std::to_string(r));
  return out;
}

/// Ring of copies: stage s is asked for again as soon as its bytes have landed; nobody reads them.
template <class Source>
__global__ void __launch_bounds__(32) read_ring(const __grid_constant__ Source from, Walk walk,
                                                int tile_bytes, int stages, ClockSample* clock) {
#if __CUDA_ARCH__ >= 900
  const Stopwatch watch = Stopwatch::start();
  extern __shared__ __align__(1024) char ring[];
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
      from.load(ring + stage * tile_bytes, at.tile, tile_bytes, full[stage]);
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
  const int promotion = static_cast<int>(arg(args, "promotion", 128));
  const bool tensor = arg(args, "tensor", 0) != 0;
  const bool ring = tensor || arg(args, "bulk", gpu().major >= 9 ? 1 : 0) != 0;
  if (ring && gpu().major < 9) throw NotOnThisGpu("hbm_read by copies: needs sm_90 or newer");
  const auto per_sm = static_cast<int>(arg(args, "blocks_per_sm", ring ? 1 : 4));
  const auto stages = static_cast<int>(arg(args, "stages", 6));
  const auto tile_bytes = ring ? static_cast<int>(1024 * arg(args, "tile_kib", 32)) : kLdgTile;
  const long long blocks = static_cast<long long>(per_sm) * gpu().num_sms;
  const auto footprint = static_cast<long long>(arg(args, "mib", 4096) * 1024 * 1024);
  const auto order = static_cast<Order>(static_cast<int>(arg(args, "order", 0)));
  const auto wanted = static_cast<long long>(arg(args, "total_mib", 0) * 1024 * 1024);
  if (ring && (stages < 1 || stages > kMaxStages || stages * tile_bytes * per_sm > 227 * 1024))
    throw std::invalid_argument("hbm_read: stages · tile_kib · blocks_per_sm must fit in 227 KiB");
  if (tensor && (tile_bytes % 1024 != 0 || tile_bytes > 256 * kBoxRow))
    throw std::invalid_argument("hbm_read: tiles through a tensor map have at most 32 KiB");

  Walk walk{.order = order, .tiles = footprint / tile_bytes};
  walk.steps = (wanted > 0 ? wanted : footprint) / (tile_bytes * blocks);
  const double read = static_cast<double>(walk.steps * blocks) * tile_bytes;
  const double unique = std::min(read, static_cast<double>(walk.tiles * tile_bytes));

  const Buffer data(static_cast<std::size_t>(footprint)), never(4), clock = clock_buffer();
  fill_random(data, Dtype::int8);
  const std::size_t shared = ring ? static_cast<std::size_t>(stages) * tile_bytes : 0;
  Case c;
  c.name = std::string(tensor ? "tensor " : "bulk ") + std::to_string(tile_bytes / 1024) +
           " KiB x " + std::to_string(stages) + " x " + std::to_string(per_sm) + "/SM";
  if (tensor) c.name += ", L2 " + std::to_string(promotion) + " B";
  if (!ring) c.name = "ldg " + std::to_string(per_sm) + "/SM";
  c.op = {.name = "read", .op_class = OpClass::elementwise, .math = MathType::fp32};
  c.op.work.read.activations = Bytes{unique};
  c.op.work.l2_to_sm = Bytes{read};
  c.op.work.ctas = static_cast<double>(blocks);
  c.op.work.launches = 1;
  const auto launch_ring = [=](const auto& from) {
    auto* const kernel = read_ring<std::decay_t<decltype(from)>>;
    CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared)));
    return [=, keep = data](cudaStream_t stream) {
      kernel<<<static_cast<unsigned>(blocks), 32, shared, stream>>>(from, walk, tile_bytes, stages,
                                                                    clock.as<ClockSample>());
      CUDA_CHECK(cudaGetLastError());
    };
  };
  if (tensor) c.launch = launch_ring(boxes(data, tile_bytes, promotion));
  else if (ring) c.launch = launch_ring(Contiguous{data.as<char>()});
  else
    c.launch = [=](cudaStream_t stream) {
      read_ldg<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
          data.as<char>(), walk, never.as<unsigned>(), clock.as<ClockSample>());
      CUDA_CHECK(cudaGetLastError());
    };
  return {std::move(c), clock};
}

Entry hbm_read_entry() {
  return {"hbm_read",
          "HBM read: a stream far larger than L2",
          {{{"mib", 4096}, {"bulk", 1}},
           {{"mib", 4096}, {"bulk", 0}},
           {{"mib", 4096}, {"tensor", 1}, {"promotion", 128}},
           {{"mib", 4096}, {"tensor", 1}, {"promotion", 256}}},
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
