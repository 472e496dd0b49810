// What L2 keeps of lines that were written, beside lines that were only read. Prints CSV:
//   build/<preset>/bin/kvroof_l2_dirty > l2_dirty.csv
//   cyclic   132 blocks, one an SM and in step with one another, each go around a stretch of their
//            own, `footprint` bytes in all, kRounds times; `beside` more bytes a round are read
//            once and never again. mode: what happens to a tile of 16 KiB in each round
//   chain    one kernel writes or reads `footprint` bytes, a second one reads `beside` others, a
//            third reads the first ones again, all in the same order. mode: what the first does
//   flash_v1 FlashAttention-1 on shapes whose rows about fill L2; `footprint` rows of Q, O and
//            statistics at work, `beside` keys that a pass brings, rounds passes
// dram_read: of the launch (cyclic, flash_v1), of the third kernel (chain). dram_written: until a
// flush behind the launch (cyclic, flash_v1), in the second and third kernel (chain).
// model/residence.hpp takes its laws from it.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "cupti_probe/count.hpp"
#include "kernels/check.hpp"
#include "kernels/device.hpp"

namespace {

using namespace kvroof;
using namespace kvroof::kernels;

constexpr int kThreads = 512, kTile = 16384, kRounds = 6, kAhead = 4;
constexpr int kWords = kTile / 16 / kThreads;  // of 16 bytes, a thread and tile

__device__ unsigned never, arrived, left;

template <bool kFirstOut>
__device__ __forceinline__ unsigned read_tile(const uint4* tile) {
  unsigned sum = 0;
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    const uint4* at = tile + i * kThreads + threadIdx.x;
    const uint4 v = kFirstOut ? __ldcs(at) : __ldcg(at);
    sum |= v.x | v.y | v.z | v.w;
  }
  return sum;
}

__device__ __forceinline__ void write_tile(uint4* tile) {
#pragma unroll
  for (int i = 0; i < kWords; ++i) tile[i * kThreads + threadIdx.x] = make_uint4(0, 0, 0, 0);
}

/// One of `period` tiles is written, after it was read if `reads`; the others are read.
struct Cyclic {
  uint4 *own, *stream;
  int tiles, beside;  // a block and round
  int period;         // 0: none is written
  bool reads;
};

__global__ __launch_bounds__(kThreads, 1) void go_around(const Cyclic c) {
  constexpr std::size_t kWordsOfTile = kTile / 16;
  unsigned sum = 0, step = 0;
  std::size_t next = blockIdx.x;
  for (int round = 0; round < kRounds; ++round)
    for (int t = 0; t < c.tiles; ++t) {
      uint4* tile = c.own + (blockIdx.x * std::size_t(c.tiles) + t) * kWordsOfTile;
      const bool writes = c.period > 0 && t % c.period == c.period - 1;
      if (!writes || c.reads) sum |= read_tile<false>(tile);
      for (int s = t * c.beside / c.tiles; s < (t + 1) * c.beside / c.tiles; ++s) {
        sum |= read_tile<false>(c.stream + next * kWordsOfTile);
        next += gridDim.x;
      }
      __syncthreads();
      if (writes) write_tile(tile);
      if (threadIdx.x == 0) {
        atomicAdd(&arrived, 1u);
        ++step;
        while (step > kAhead &&
               *static_cast<volatile unsigned*>(&arrived) < (step - kAhead) * gridDim.x) {
        }
      }
      __syncthreads();
    }
  if (sum != 0) never = sum;
  if (threadIdx.x == 0 && atomicAdd(&left, 1u) == gridDim.x - 1) arrived = 0, left = 0;
}

/// Block i takes tile i: reads it, or writes it after reading `reads` other tiles.
template <bool kFirstOut>
__global__ __launch_bounds__(kThreads) void produce(uint4* tiles, const uint4* others, int reads,
                                                    bool writes) {
  const std::size_t words = kTile / 16;
  unsigned sum = 0;
  for (int r = 0; r < reads; ++r)
    sum |= read_tile<kFirstOut>(others + (std::size_t(r) * gridDim.x + blockIdx.x) * words);
  if (writes) write_tile(tiles + blockIdx.x * words);
  if (sum != 0) never = sum;
}

struct Chain {
  const char* mode;
  bool writes;       // the first kernel, else it reads
  int reads;         // of other tiles beside each that is written
  bool first_out;    // reads say evict-first: those lines are the next to go
  bool then_writes;  // the third kernel writes as much as it reads
};

void launch_chain(const Chain& c, uint4* data, uint4* stream_data, uint4* out, int tiles,
                  int beside, cudaStream_t stream) {
  const auto first = c.first_out ? produce<true> : produce<false>;
  const std::size_t words = kTile / 16;
  if (c.writes) first<<<tiles, kThreads, 0, stream>>>(data, stream_data, c.reads, true);
  else produce<false><<<tiles, kThreads, 0, stream>>>(nullptr, data, 1, false);
  const uint4* others = stream_data + std::size_t(c.reads) * tiles * words;
  first<<<std::max(beside, 1), kThreads, 0, stream>>>(nullptr, others, beside > 0, false);
  first<<<tiles, kThreads, 0, stream>>>(out, data, 1, c.then_writes);
  CUDA_CHECK(cudaGetLastError());
}

struct Row {
  std::string experiment, mode;
  double footprint, beside;
  int rounds;
  Case made;
  double read = 0, written = 0;
};

double figure(const probe::Counts& counts, std::size_t kernel, const char* name) {
  return counts.kernels.at(kernel).at(*probe::figure_index(counts.group, name)).value_or(0);
}

std::vector<Row> rows(uint4* data, uint4* stream_data, uint4* out) {
  std::vector<Row> all;
  const int blocks = gpu().num_sms;
  const auto bytes = [](double tiles) { return tiles * kTile; };
  struct Mode {
    const char* name;
    int period;
    bool reads, beside;
  };
  for (const Mode& m :
       {Mode{"read", 0, true, false}, Mode{"read", 0, true, true},
        Mode{"rewrite 1 of 4", 4, true, false}, Mode{"rewrite 1 of 2", 2, true, false},
        Mode{"rewrite 1 of 2", 2, true, true}, Mode{"rewrite", 1, true, false},
        Mode{"rewrite", 1, true, true}, Mode{"write", 1, false, false}})
    for (int tiles = m.beside ? 4 : 8; tiles <= (m.beside ? 24 : 32);
         tiles += m.period == 4 ? 4 : 2) {
      const Cyclic c{data, stream_data, tiles, m.beside ? tiles : 0, m.period, m.reads};
      all.push_back({"cyclic",
                     m.name,
                     bytes(1.0 * blocks * tiles),
                     bytes(1.0 * blocks * c.beside),
                     kRounds,
                     {.name = m.name, .launch = [=](cudaStream_t s) {
                        go_around<<<blocks, kThreads, 0, s>>>(c);
                        CUDA_CHECK(cudaGetLastError());
                      }}});
    }
  const auto chain = [&](const Chain& c, int tiles, int beside) {
    all.push_back(
        {"chain",
         c.mode,
         bytes(tiles),
         bytes(beside),
         1,
         {.name = c.mode,
          .launch =
              [=](cudaStream_t s) { launch_chain(c, data, stream_data, out, tiles, beside, s); },
          .kernels_per_launch = 3}});
  };
  const Chain read{"read", false, 0, false, false}, written{"written", true, 0, false, false},
      first_out{"written, rest evict-first", true, 0, true, false};
  for (const int tiles : {512, 1024, 1536, 2048, 2560, 3072, 4096})
    for (const int beside : {0, 512, 1024, 1536, 2048, 3072})
      for (const Chain& c : {read, written, first_out}) chain(c, tiles, beside);
  for (const int tiles : {512, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 4096, 8192, 16384})
    for (const Chain& c :
         {Chain{"written beside 1 read", true, 1, false, false},
          Chain{"written beside 1 read, evict-first", true, 1, true, false},
          Chain{"written beside 2 read, evict-first", true, 2, true, false},
          Chain{"written, read and written", true, 0, false, true},
          Chain{"written, read and written, evict-first", true, 0, true, true},
          Chain{"written beside 2 read, read and written, evict-first", true, 2, true, true}})
      chain(c, tiles, 0);
  const auto attention = [&](double b, double h, double s, double d, bool causal) {
    const Args args{{"b", b}, {"h_q", h}, {"s_q", s}, {"d", d}, {"causal", causal}};
    Case made = find_entry("flash_v1")->make(args);
    const double at_work = std::min(b * h, 1.0 * blocks), keys = 128, row = 4 * d + 8;
    all.push_back({"flash_v1", made.name, at_work * s * row, at_work * keys * 4 * d,
                   static_cast<int>(std::ceil(s / keys)), std::move(made)});
  };
  for (const double s : {384, 448, 512, 576, 640, 768, 1024}) attention(1, 132, s, 128, false);
  for (const double s : {768, 1024, 1280, 1536, 2048}) attention(1, 132, s, 64, false);
  attention(64, 16, 1024, 64, false);
  attention(2, 32, 2048, 128, true);
  attention(4, 16, 4096, 128, true);
  return all;
}

void measure() {
  const Buffer data(512u << 20), stream_data(1024u << 20), out(512u << 20);
  CUDA_CHECK(cudaMemset(data.as(), 0, data.bytes()));
  CUDA_CHECK(cudaMemset(stream_data.as(), 0, stream_data.bytes()));
  CUDA_CHECK(cudaMemset(out.as(), 0, out.bytes()));
  std::vector<Row> all = rows(data.as<uint4>(), stream_data.as<uint4>(), out.as<uint4>());
  {
    probe::Counter counter(probe::load_group("hbm"), {.launches = 2}, 3);
    for (Row& row : all) {
      const probe::Counts counts = counter(row.made);
      const bool chain = row.experiment == "chain";
      row.read = figure(counts, chain ? 2 : 0, "read");
      if (chain) row.written = figure(counts, 1, "written") + figure(counts, 2, "written");
    }
  }
  probe::WriteBack written_back;
  for (Row& row : all)
    if (row.experiment != "chain") row.written = written_back(row.made);
  std::printf("experiment,mode,footprint,beside,rounds,dram_read,dram_written\n");
  for (const Row& row : all)
    std::printf("%s,\"%s\",%.0f,%.0f,%d,%.0f,%.0f\n", row.experiment.c_str(), row.mode.c_str(),
                row.footprint, row.beside, row.rounds, row.read, row.written);
}

}  // namespace

int main() {
  if (!has_gpu()) return std::fprintf(stderr, "no GPU\n"), 77;
  measure();
}
