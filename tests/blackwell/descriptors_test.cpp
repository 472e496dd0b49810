// Encodings of kernels/blackwell against the PTX ISA's tables and examples, and against constants
// of kernels that others have run on a B200. No GPU needed.
#include <doctest/doctest.h>

#include <cstdint>
#include <set>

#include "kernels/blackwell/instruction_descriptor.hpp"
#include "kernels/blackwell/shared_descriptor.hpp"
#include "kernels/blackwell/tensor_memory.hpp"

using namespace kvroof::kernels::blackwell;

namespace {

std::uint64_t bits(std::uint64_t x, int low, int count) {
  return x >> low & ((std::uint64_t{1} << count) - 1);
}

}  // namespace

// PTX ISA 9.1, table 40 "Shared memory descriptor layout".
TEST_CASE("shared-memory descriptor: every field of table 40 where the table has it") {
  struct Row {
    Swizzle swizzle;
    std::uint64_t code;
  };
  for (const Row& row : {Row{Swizzle::none, 0},
                         {Swizzle::bytes128, 2},
                         {Swizzle::bytes64, 4},
                         {Swizzle::bytes32, 6}}) {
    const std::uint64_t d = shared_descriptor(0x2A5F0, 0x3C00, 0x1230, row.swizzle).bits;
    CHECK(bits(d, 0, 14) == 0x2A5F);  // matrix-descriptor-encode(x) = (x & 0x3FFFF) >> 4
    CHECK(bits(d, 14, 2) == 0);
    CHECK(bits(d, 16, 14) == 0x3C0);
    CHECK(bits(d, 30, 2) == 0);
    CHECK(bits(d, 32, 14) == 0x123);
    CHECK(bits(d, 46, 3) == 0b001);
    CHECK(bits(d, 49, 3) == 0);  // base offset
    CHECK(bits(d, 52, 1) == 0);  // relative
    CHECK(bits(d, 53, 8) == 0);
    CHECK(bits(d, 61, 3) == row.code);
  }
}

// PTX ISA 9.1, 9.7.15.5.1.2.1 (the canonical layouts are wgmma's): MN-major, 64-byte swizzle, exact
// layout Swizzle<2,4,3> o ((8,4,2),(8,2)):((1,8,256),(32,512)) of bf16: LBO 256 elements, encoded
// 32; SBO 512 elements, encoded 64.
TEST_CASE("shared-memory descriptor: the ISA's example of encoded offsets") {
  const std::uint64_t d = shared_descriptor(0, 256 * 2, 512 * 2, Swizzle::bytes64).bits;
  CHECK(bits(d, 16, 14) == 32);
  CHECK(bits(d, 32, 14) == 64);
}

// Whole words. 0x4000404000010000: the K-major 128-byte descriptor of CUTLASS-derived kernels.
// High word 0x40004040, K-major steps 2, 2, 2, 1018, 2, 2, 2 (units of 16 bytes), leading field
// 0x0400 of V: flashinfer csrc/blackwell_msa/sm100a/
// blackwell_msa_long_prefill_paged_bf16_gqa16_direct_group_sm100.cu at 9f50517, bf16, d 128,
// 128 keys: the tiles of our kernels.
TEST_CASE("shared-memory descriptor: words of published kernels") {
  CHECK(k_major(0).bits == 0x4000404000010000);
  CHECK(k_major(0x400).bits == 0x4000404000010040);
  CHECK(mn_major(0, 128).bits == 0x4000404004000000);
  CHECK(bits(mn_major(0, 128).bits, 16, 14) * 16 == 128 * 128);  // next 64 columns of V

  const int steps[] = {2, 2, 2, 1018, 2, 2, 2};
  SharedDescriptor d = k_major(0x8000);
  std::uint64_t low = d.bits;
  for (int i = 1; i < 8; ++i) {
    low += static_cast<std::uint64_t>(steps[i - 1]);
    CHECK((d + (i / 4 * 128 * 128 + i % 4 * 32)).bits == low);
  }
}

// The last byte of 227 KiB still fits the 14-bit field, and a sum never leaves it.
TEST_CASE("shared-memory descriptor: addresses up to the end of shared memory") {
  constexpr int kEnd = 227 * 1024 - 16;
  CHECK((k_major(0) + kEnd).bits == k_major(kEnd).bits);
  CHECK(bits((k_major(1024) + (kEnd - 1024)).bits, 16, 48) == bits(k_major(0).bits, 16, 48));
}

// Where an element lies in a tile that TMA wrote, from the descriptor alone: the canonical layouts
// of PTX ISA 9.1, 9.7.16.3.3 (T = 8 for 16 bits), Swizzle<3,4,3>:
//   K-major  ((8,m),(T,2k)):((8T,SBO),(1,T))        MN-major  ((T,8,m),(8,k)):((1,T,LBO),(8T,SBO))
// against the TMA tile [columns / 64][rows][64], 16-byte chunk c of row r at chunk c ^ (r mod 8).
TEST_CASE("shared-memory descriptor: canonical layouts address the tiles that TMA writes") {
  constexpr int kRows = 128;
  const auto tma = [](int row, int column) {
    const int chunk = column % 64 / 8 ^ row % 8;
    return (column / 64 * kRows + row) * 128 + chunk * 16 + column % 8 * 2;
  };
  const auto swizzled = [](int byte) { return byte ^ (byte >> 3 & 0x70); };  // Swizzle<3,4,3>
  const auto field = [](SharedDescriptor d, int low) {
    return static_cast<int>(bits(d.bits, low, 14)) * 16;
  };
  constexpr int kT = 8;
  std::set<int> reached;
  for (int k0 = 0; k0 < 128; k0 += 16) {  // one instruction: 16 of k
    const SharedDescriptor q = k_major(0) + (k0 / 64 * kRows * 128 + k0 % 64 * 2);
    for (int mn = 0; mn < 128; ++mn)
      for (int k = 0; k < 16; ++k) {
        const int element = mn % 8 * 8 * kT + k;  // ((8,m),(T,2)): T and 2 are contiguous
        CHECK(swizzled(field(q, 0) + element * 2 + mn / 8 * field(q, 32)) == tma(mn, k0 + k));
      }
    const SharedDescriptor v = mn_major(0, kRows) + k0 * 128;
    for (int mn = 0; mn < 128; ++mn)
      for (int k = 0; k < 16; ++k) {
        const int element = mn % 64 + k % 8 * 8 * kT;
        const int byte = field(v, 0) + element * 2 + mn / 64 * field(v, 16) + k / 8 * field(v, 32);
        CHECK(swizzled(byte) == tma(k0 + k, mn));
        reached.insert(swizzled(byte));
      }
  }
  CHECK(reached.size() == 128 * 128);  // V: every element once
}

// PTX ISA 9.1, table 42 "Instruction descriptor format".
TEST_CASE("instruction descriptor: every field of table 42 where the table has it") {
  const std::uint32_t d =
      instruction_descriptor({.m = 128, .n = 208, .format = Format::bf16, .b = Major::mn});
  CHECK(bits(d, 0, 4) == 0);  // dense, no saturation
  CHECK(bits(d, 4, 2) == 1);  // D: F32
  CHECK(bits(d, 6, 1) == 0);
  CHECK(bits(d, 7, 3) == 1);    // A: BF16
  CHECK(bits(d, 10, 3) == 1);   // B: BF16
  CHECK(bits(d, 13, 2) == 0);   // not negated
  CHECK(bits(d, 15, 1) == 0);   // A K-major
  CHECK(bits(d, 16, 1) == 1);   // B across the rows
  CHECK(bits(d, 17, 6) == 26);  // N >> 3
  CHECK(bits(d, 23, 1) == 0);
  CHECK(bits(d, 24, 5) == 8);  // M >> 4
  CHECK(bits(d, 29, 3) == 0);
}

// 136316048 and 136381584: S = Q·K^T and O = P·V of the flashinfer kernel above. 0x8400490 and
// 0x8400010: the 128 x 256 products in bf16 and fp16 of public microbenchmarks; E4M3 has the code
// of fp16 under kind::f8f6f4 (table 42).
TEST_CASE("instruction descriptor: words of published kernels") {
  CHECK(instruction_descriptor({.m = 128, .n = 128, .format = Format::bf16}) == 136316048);
  CHECK(instruction_descriptor({.m = 128, .n = 128, .format = Format::bf16, .b = Major::mn}) ==
        136381584);
  CHECK(instruction_descriptor({.m = 128, .n = 256, .format = Format::bf16}) == 0x8400490);
  CHECK(instruction_descriptor({.m = 128, .n = 256, .format = Format::fp16}) == 0x8400010);
  CHECK(instruction_descriptor({.m = 128, .n = 256, .format = Format::e4m3}) == 0x8400010);
}

// PTX ISA 9.1, 9.7.16.1: bits 31-16 lane, 15-0 column.
TEST_CASE("tensor memory: addresses") {
  CHECK(TensorAddress{0}.lanes(96).columns(511).bits == 0x006001FF);
  CHECK(TensorAddress{0x40}.columns(64).lanes(32).bits == 0x00200080);
  CHECK(columns_of_16_bits(16) == 8);    // a step of K moves A by 8 columns
  CHECK(columns_of_16_bits(128) == 64);  // P of 128 keys
}
