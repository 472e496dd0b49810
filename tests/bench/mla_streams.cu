// What the instructions of MLA decode reach without its softmax: the products of mla_decode_tma.cuh
// alone, with the same shapes, operands and warpgroups, in cycles and at the power limit.
// Prints CSV, a row a stream; the last row is the kernel itself.
//   build/<preset>/bin/kvroof_mla_streams > mla_streams.csv
//
//   free     warpgroups do not wait for each other: the bound of this mix of instructions
//   chained  O_j starts when S_j+1 is finished, S_j+2 when the step has been read, as in the kernel
//   fed      tiles arrive by TMA multicast in a ring of three, from L2 or from HBM
#include "tests/bench/mla_streams.cuh"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <thread>
#include <vector>

#include "kernels/case.hpp"
#include "kernels/check.hpp"
#include "kernels/data.hpp"

namespace mla_streams {

/// Energy and clock as NVML tells them; 0 without it.
struct Nvml {
  void* device = nullptr;
  int (*energy)(void*, unsigned long long*) = nullptr;
  int (*clock_info)(void*, int, unsigned*) = nullptr;
  Nvml() {
    void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    if (library == nullptr) return;
    const auto init = reinterpret_cast<int (*)()>(dlsym(library, "nvmlInit_v2"));
    const auto handle = reinterpret_cast<int (*)(const char*, void**)>(
        dlsym(library, "nvmlDeviceGetHandleByPciBusId_v2"));
    char id[32];
    int current = 0;
    CUDA_CHECK(cudaGetDevice(&current));
    CUDA_CHECK(cudaDeviceGetPCIBusId(id, sizeof id, current));
    if (init() != 0 || handle(id, &device) != 0) return;
    energy =
        reinterpret_cast<decltype(energy)>(dlsym(library, "nvmlDeviceGetTotalEnergyConsumption"));
    clock_info = reinterpret_cast<decltype(clock_info)>(dlsym(library, "nvmlDeviceGetClockInfo"));
  }
  double joules() const {
    unsigned long long millijoules = 0;
    return energy != nullptr && energy(device, &millijoules) == 0 ? millijoules * 1e-3 : 0;
  }
  double megahertz() const {
    unsigned mhz = 0;
    return clock_info != nullptr && clock_info(device, 1, &mhz) == 0 ? mhz : 0;
  }
};

double seconds_of(const std::function<void()>& work) {
  CUDA_CHECK(cudaDeviceSynchronize());
  const auto begin = std::chrono::steady_clock::now();
  work();
  CUDA_CHECK(cudaDeviceSynchronize());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// One launch after rest (median of 9), then a second and a half of launches, then one measured.
/// `cycles`: the last launch's, of the slowest block, with its clock.
void row(const char* name, double flop, double tiles, const std::function<void()>& launch,
         const std::function<Out()>& clocks) {
  static const Nvml nvml;
  launch();
  CUDA_CHECK(cudaDeviceSynchronize());
  std::vector<float> single;
  Out cool{};
  for (int i = 0; i < 9; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(80));
    cudaEvent_t begin, end;
    CUDA_CHECK(cudaEventCreate(&begin));
    CUDA_CHECK(cudaEventCreate(&end));
    CUDA_CHECK(cudaEventRecord(begin));
    launch();
    CUDA_CHECK(cudaEventRecord(end));
    CUDA_CHECK(cudaDeviceSynchronize());
    float ms;
    CUDA_CHECK(cudaEventElapsedTime(&ms, begin, end));
    single.push_back(ms * 1e-3f);
    cool = clocks();
  }
  std::sort(single.begin(), single.end());
  const int few = std::max(1, static_cast<int>(0.05 / single[4]));
  const auto batch = [&] {
    for (int i = 0; i < few; ++i) launch();
  };
  for (double spent = 0; spent < 1.5;) spent += seconds_of(batch);
  std::vector<double> steady;
  double mhz = 0, spent = 0;
  const double before = nvml.joules();
  while (spent < 1.2) {
    const double t = seconds_of([&] {
      batch();
      mhz += nvml.megahertz();
    });
    spent += t;
    steady.push_back(t / few);
  }
  const double joules = nvml.joules() - before;
  const double launches = static_cast<double>(steady.size() * few);
  mhz /= static_cast<double>(steady.size());
  std::sort(steady.begin(), steady.end());
  const auto at = [&](double share) {
    return steady[static_cast<std::size_t>(share * static_cast<double>(steady.size() - 1))];
  };
  const Out hot = clocks();
  const auto cycles = [](Out o) { return static_cast<double>(o.cycles) / kTiles; };
  const auto clock = [](Out o) {
    return o.nanoseconds > 0
               ? 1e3 * static_cast<double>(o.cycles) / static_cast<double>(o.nanoseconds)
               : 0;
  };
  std::printf("%s,%.0f,%.1f,%.0f,%.0f,%.0f,%.1f,%.1f,%.1f,%.0f,%.0f,%.0f,%.2f\n", name,
              cycles(cool), flop / single[4] * 1e-12, clock(cool), cycles(hot), clock(hot),
              flop / at(0.5) * 1e-12, flop / at(0.95) * 1e-12, flop / at(0.05) * 1e-12, mhz,
              joules / spent, launches, joules / launches / tiles * 1e6);
  std::fflush(stdout);
}

template <Mix k>
void row(const char* name, const StreamParams& p) {
  const auto f = stream<k.scores, k.output, k.chained, k.from>;
  CUDA_CHECK(cudaFuncSetAttribute(f, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(Smem)));
  const int blocks = gpu().num_sms / kCluster * kCluster;
  cudaLaunchAttribute cluster{.id = cudaLaunchAttributeClusterDimension};
  cluster.val.clusterDim = {kCluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = static_cast<unsigned>(blocks), config.blockDim = kThreads;
  config.dynamicSmemBytes = sizeof(Smem), config.attrs = &cluster, config.numAttrs = 1;
  const double flop =
      2. * kRows * kKeys * ((k.scores != A::none ? kRow : 0) + (k.output != A::none ? kLatent : 0));
  row(
      name, flop * kTiles * blocks, static_cast<double>(kTiles) * blocks,
      [&] { CUDA_CHECK(cudaLaunchKernelEx(&config, f, p)); },
      [&] {
        std::vector<Out> out(static_cast<std::size_t>(blocks));
        CUDA_CHECK(cudaMemcpy(out.data(), p.out, out.size() * sizeof(Out), cudaMemcpyDeviceToHost));
        return *std::max_element(out.begin(), out.end(),
                                 [](Out x, Out y) { return x.cycles < y.cycles; });
      });
}

}  // namespace mla_streams

int main() {
  using namespace mla_streams;
  if (!has_gpu()) {
    std::fprintf(stderr, "no GPU: nothing to measure\n");
    return 77;
  }
  const int pages = gpu().num_sms / kCluster * kTiles;
  const Buffer cache(static_cast<std::size_t>(pages) * kKeys * kRow * 2), p(sizeof(Block)),
      out(static_cast<std::size_t>(gpu().num_sms) * sizeof(Out));
  fill_random(cache, kvroof::Dtype::bf16);
  std::vector<bf16> probabilities(sizeof(Block) / 2);
  for (std::size_t i = 0; i < probabilities.size(); ++i)  // exp of scores that spread by 1.7
    probabilities[i] = __float2bfloat16(
        std::exp(-4 + 1.7f * std::sin(12.9898f * static_cast<float>(i + 1) * 43.7f)));
  CUDA_CHECK(cudaMemcpy(p.as(), probabilities.data(), sizeof(Block), cudaMemcpyHostToDevice));
  StreamParams params{.tile = cache.as<bf16>(), .p = p.as<bf16>(), .out = out.as<Out>()};
  for (int part = 0; part < kParts; ++part)
    params.cache[part] = hopper::tile_map(
        hopper::contiguous(cache.as(), pages, 1, kKeys, kRow), CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2,
        64, 64 * part_blocks(part), 128, CU_TENSOR_MAP_L2_PROMOTION_L2_128B);
  std::printf(
      "stream,cycles_a_tile_cool,tflops_single,mhz_single,cycles_a_tile_hot,mhz_hot,tflops_steady,"
      "p5,p95,mhz_nvml,watts,launches,uj_a_tile\n");
  constexpr A none = A::none, rs = A::registers, ss = A::shared;
#define ROW(name, ...) row<Mix{__VA_ARGS__}>(name, params)
  ROW("S q in registers", rs, none);
  ROW("S q in shared memory", ss, none);
  ROW("S n128 q in registers", A::wide, none);
  ROW("O p in shared memory", none, ss);
  ROW("O p in registers", none, rs);
  ROW("S rs + O ss free", rs, ss);
  ROW("S ss + O ss free", ss, ss);
  ROW("S rs + O rs free", rs, rs);
  ROW("S n128 + O rs free", A::wide, rs);
  ROW("S rs + O ss chained", rs, ss, true);
  ROW("S rs + O ss free from L2", rs, ss, false, From::l2);
  ROW("S rs + O ss free from HBM", rs, ss, false, From::hbm);
  ROW("S rs + O ss chained from HBM", rs, ss, true, From::hbm);
  for (const auto& [b, s_kv] : {std::pair{64., 32768.}, {128., 4096.}}) {
    const Case c = find_entry("mla_decode_tma")->make({{"b", b}, {"s_kv", s_kv}, {"h_q", 128}});
    const double tiles = b * s_kv / 64 * 2;
    row(
        c.name.c_str(), tiles * 2 * 64 * 64 * (kRow + kLatent), tiles, [&] { c.launch(nullptr); },
        [] { return Out{}; });
  }
}
