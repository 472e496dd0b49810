// Ceilings that are work over time: memory levels, tensor cores, FP32, exponentials.
//
// Bounds are rates per clock that the architecture documents state, times the clock that the kernel
// read while it ran: a figure above its bound is a broken kernel, not a fast GPU.
#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "kernels/ceilings/loads.hpp"
#include "kernels/ceilings/measure.hpp"
#include "kernels/ceilings/tensor_types.hpp"
#include "kernels/ceilings/walk.hpp"

namespace kvroof::kernels {
namespace {

std::string text(const char* format, double a, double b = 0, double c = 0) {
  std::array<char, 160> out{};
  std::snprintf(out.data(), out.size(), format, a, b, c);
  return out.data();
}

/// Per SM and clock, by compute capability; nullopt: not known for this GPU.
struct PerClock {
  double fp32_flop, ex2, smem_bytes;
  std::array<double, kNumTensorTypes> tensor_flop;  // of kTensorTypes, by the newest instruction
  double mma_sync_share;                            // of it, through mma.sync; 0: not known
};
std::optional<PerClock> per_clock() {
  switch (gpu().major * 10 + gpu().minor) {
    // NVIDIA A100 whitepaper: 1024 dense FP16 FMA per SM and clock, TF32 half, INT8 twice; no fp8
    case 80:
      return PerClock{128, 16, 128, {2048, 2048, 1024, 0, 4096}, 1};
    // NVIDIA H100 whitepaper; mma.sync 2/3: the counter library's peak_sustained of HMMA on GH100
    case 90:
      return PerClock{256, 16, 128, {4096, 4096, 2048, 8192, 8192}, 2.0 / 3};
    // arXiv:2603.05451, section 2.2 (bf16, exponentials, shared memory); NVIDIA's B200 datasheet:
    // fp8 and int8 twice, tf32 half of bf16. What mma.sync reaches there is not known.
    case 100:
      return PerClock{256, 16, 128, {8192, 8192, 4096, 16384, 16384}, 0};
    default:
      return std::nullopt;
  }
}

/// sm_clock · SMs · rate
void bound_by_clock(Ceiling& c, double per_sm_and_clock, const char* what) {
  if (per_sm_and_clock <= 0) return;
  c.bound = gpu().num_sms * per_sm_and_clock * c.sm_clock_hz;
  c.bound_rule = text("%.0f SM x %.1f ", gpu().num_sms, per_sm_and_clock) + what +
                 text("/clk x %.0f MHz", c.sm_clock_hz / 1e6);
}

struct Asked {
  std::string name, unit, entry;
  Args args;
};

Ceiling measure(const Asked& asked, const Load& load, double quantity, const Timing& timing = {}) {
  Timing with_clock = timing;
  with_clock.before_samples = [&] { load.reset_clock(); };
  const Stats seconds = time_case(load.kernel, with_clock);
  return {.name = asked.name,
          .variant = load.kernel.name,
          .unit = asked.unit,
          .value = rate(quantity, seconds),
          .sm_clock_hz = load.sm_clock_hz(),
          .intended = quantity,
          .entry = asked.entry,
          .args = asked.args};
}

const Timing kQuick{.repeats = 15, .sample_seconds = 3e-3};
const Timing kBurst{.repeats = 15, .launches = 1, .pause_seconds = 0.03};

using LoadOf = Load (*)(const Args&);

void add_hbm(std::vector<Ceiling>& rows, const char* name, LoadOf load_of, const Args& args) {
  const Load load = load_of(args);
  const double bytes = (load.kernel.op.work.hbm_read() + load.kernel.op.work.hbm_written()).value;
  Ceiling c = measure({name, "B/s", name, args}, load, bytes, kQuick);
  c.bound = gpu().hbm_pin_bandwidth();
  c.bound_rule =
      text("2 x %.0f MHz x %.0f bit", gpu().memory_clock_hz / 1e6, gpu().memory_bus_bits);
  rows.push_back(std::move(c));
}

Args ring(double tile_kib, double stages, double per_sm, double order = 0) {
  return {{"bulk", 1},      {"tile_kib", tile_kib}, {"stages", stages}, {"blocks_per_sm", per_sm},
          {"order", order}, {"mib", 4096}};
}
/// The ring through a tensor map.
Args tensor_ring(double tile_kib, double stages, double promotion) {
  Args args = ring(tile_kib, stages, 1);
  args.insert({{"tensor", 1}, {"promotion", promotion}});
  return args;
}
Args threads(double per_sm, double order = 0) {
  return {{"bulk", 0}, {"blocks_per_sm", per_sm}, {"order", order}, {"mib", 4096}};
}

}  // namespace

std::vector<Ceiling> measure_hbm() {
  std::vector<Ceiling> rows;
  for (const double per_sm : {1, 2, 4}) add_hbm(rows, "hbm_read", read_load, threads(per_sm));
  add_hbm(rows, "hbm_write", write_load, threads(2));
  add_hbm(rows, "hbm_write", write_load, threads(4));
  add_hbm(rows, "hbm_copy", copy_load, {{"bulk", 0}, {"once", 1}, {"mib", 4096}});
  add_hbm(rows, "hbm_copy", copy_load,
          {{"bulk", 0}, {"once", 0}, {"blocks_per_sm", 4}, {"mib", 4096}});
  if (gpu().major < 9) return rows;
  // Bytes in flight per SM: where more of them no longer helps, the limit is not the kernel's.
  for (const double kib : {8, 16, 32, 48, 64, 96, 128, 192})
    add_hbm(rows, "hbm_read", read_load, ring(8, kib / 8, 1));
  for (const double tile : {2, 4, 16, 32})
    add_hbm(rows, "hbm_read", read_load, ring(tile, 64 / tile, 1));
  add_hbm(rows, "hbm_read", read_load, ring(8, 8, 1, 1));
  for (const double promotion : {128, 256}) {
    for (const double kib : {32, 64, 128})
      add_hbm(rows, "hbm_read", read_load, tensor_ring(8, kib / 8, promotion));
    for (const double tile : {4, 16, 32})
      add_hbm(rows, "hbm_read", read_load, tensor_ring(tile, 64 / tile, promotion));
  }
  add_hbm(rows, "hbm_write", write_load, ring(8, 1, 2));
  add_hbm(rows, "hbm_write", write_load, ring(16, 1, 1));
  for (const double tile : {4, 8, 16, 32}) add_hbm(rows, "hbm_copy", copy_load, ring(tile, 6, 1));
  add_hbm(rows, "hbm_copy", copy_load, ring(16, 6, 2));
  return rows;
}

std::vector<Ceiling> measure_l2() {
  std::vector<Ceiling> rows;
  struct Pattern {
    const char* name;
    Order order;
    bool bulk;
    double from_mib;  // fewer would give two blocks the same tile at the same time
  };
  const bool copy_engine = gpu().major >= 9;
  const Pattern patterns[] = {
      {"l2_read", Order::interleaved, false, 20},
      // Blocks that all read the same would merge requests before L2: no bandwidth of its own.
      {"l2_read", Order::interleaved, true, 2}};
  for (const Pattern& p : patterns) {
    if (p.bulk && !copy_engine) continue;
    for (const double mib :
         {2, 4, 8, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 80, 96, 128, 256}) {
      if (mib < p.from_mib) continue;
      Args args{{"order", static_cast<double>(p.order)}, {"mib", mib}, {"total_mib", 8192}};
      if (p.bulk) args.insert({{"bulk", 1}, {"tile_kib", 8}, {"stages", 16}, {"blocks_per_sm", 1}});
      else args.insert({{"bulk", 0}, {"blocks_per_sm", 2}});
      const Load load = read_load(args);
      Ceiling c =
          measure({p.name, "B/s", "l2_read", args}, load, load.kernel.op.work.l2_to_sm.value,
                  {.repeats = 10, .sample_seconds = 2e-3});
      c.variant = text("%.0f MiB, ", mib) + (p.bulk ? "bulk" : "ldg");
      bound_by_clock(c, 64, "B");  // the port of one SM
      rows.push_back(std::move(c));
    }
  }
  return rows;
}

std::vector<Ceiling> measure_smem() {
  std::vector<Ceiling> rows;
  const auto limit = per_clock();
  const Load loads = smem_load({});
  rows.push_back(
      measure({"smem_read", "B/s", "smem_read", {}}, loads, loads.kernel.op.work.smem.value));
  if (gpu().is_hopper()) {
    // N = 32 asks for 24 cycles of operands per 16 cycles of product: shared memory is the limit.
    const Args args{{"type", kBf16}, {"n", 32}};
    const Load feed = wgmma_load(args);
    rows.push_back(measure({"smem_operands", "B/s", "wgmma_peak", args}, feed,
                           feed.kernel.op.work.smem.value, kBurst));
  }
  if (limit)
    for (Ceiling& c : rows) bound_by_clock(c, limit->smem_bytes, "B");
  return rows;
}

std::vector<Ceiling> measure_math() {
  std::vector<Ceiling> rows;
  const auto limit = per_clock();
  const Load fma = fma_load({}), ex2 = ex2_load({});
  rows.push_back(
      measure({"fp32_fma", "FLOP/s", "fp32_fma", {}}, fma, fma.kernel.op.work.fp32.value));
  if (limit) bound_by_clock(rows.back(), limit->fp32_flop, "FLOP");
  rows.push_back(measure({"ex2", "op/s", "ex2", {}}, ex2, ex2.kernel.op.work.exps));
  if (limit) bound_by_clock(rows.back(), limit->ex2, "op");
  return rows;
}

// Tensor loads draw so much power that the clock falls within milliseconds. The ceiling is a burst:
// one launch of about 2 ms after a pause; "sustained" runs for a second,
// on random data and on zeros.
std::vector<Ceiling> measure_tensor() {
  std::vector<Ceiling> rows;
  const auto limit = per_clock();
  const auto add = [&](const std::string& name, const char* entry, const Args& args, LoadOf load_of,
                       double flop_per_clock, const Timing& timing) {
    const Load load = load_of(args);
    Ceiling c = measure({name, "FLOP/s", entry, args}, load,
                        load.kernel.op.work.flops_executed.value, timing);
    bound_by_clock(c, flop_per_clock, "FLOP");
    rows.push_back(std::move(c));
  };
  const Timing sustained{.repeats = 10, .sample_seconds = 0.1};
  for (int t = 0; t < kNumTensorTypes; ++t) {
    const std::string name = kTensorTypes[t].name;
    const double peak = limit ? limit->tensor_flop[static_cast<std::size_t>(t)] : 0;
    const Args args{{"type", static_cast<double>(t)}};
    if (gpu().is_hopper()) add("wgmma_" + name, "wgmma_peak", args, wgmma_load, peak, kBurst);
    // Before 8.9 there is no FP8; on Hopper the compiler emulates FP8 mma.sync with HMMA, and
    // counters show a quarter of the stated FLOPs: no rate to report.
    if (t == kFp8 && (gpu().is_hopper() || gpu().major * 10 + gpu().minor < 89)) continue;
    // The share of mma.sync is known for 16-bit and tf32 only; wgmma's peak holds for the others.
    const double share = limit && t <= kTf32 ? limit->mma_sync_share : 1;
    Args longer = args;
    longer["iterations"] = 4000;
    add("mma_sync_" + name, "mma_sync_peak", longer, mma_sync_load, peak * share, kBurst);
  }
  if (!gpu().is_hopper()) return rows;
  const double bf16 = limit ? limit->tensor_flop[kBf16] : 0,
               fp8 = limit ? limit->tensor_flop[kFp8] : 0;
  const Args n64{{"type", kBf16}, {"n", 64}}, random{{"type", kBf16}},
      zeros{{"type", kBf16}, {"zeros", 1}};
  add("wgmma_bf16_n64", "wgmma_peak", n64, wgmma_load, bf16, kBurst);
  add("wgmma_bf16_sustained", "wgmma_peak", random, wgmma_load, bf16, sustained);
  add("wgmma_bf16_sustained_zeros", "wgmma_peak", zeros, wgmma_load, bf16, sustained);
  add("wgmma_fp8_sustained", "wgmma_peak", {{"type", kFp8}}, wgmma_load, fp8, sustained);
  return rows;
}

// tcgen05_peak was written without a GPU to run it on: its first products are held against the CPU
// here, and where one is wrong there is no rate.
std::vector<Ceiling> measure_tcgen05() {
  std::vector<Ceiling> rows;
  if (gpu().major != 10) return rows;
  const auto limit = per_clock();
  for (const int t : {kBf16, kFp16, kFp8}) {
    const Args args{{"type", static_cast<double>(t)}};
    const Load load = tcgen05_load(args);
    const Verdict product = load.kernel.verify();
    if (!product.ok)
      throw NotOnThisGpu(
          load.kernel.name + ": a wrong product, so no rate is reported: " +
          text("error %.2e of %.0e allowed; ", product.relative_error, product.tolerance) +
          product.detail);
    const std::string name = std::string("tcgen05_") + kTensorTypes[t].name;
    Ceiling c = measure({name, "FLOP/s", "tcgen05_peak", args}, load,
                        load.kernel.op.work.flops_executed.value, kBurst);
    if (limit) bound_by_clock(c, limit->tensor_flop[static_cast<std::size_t>(t)], "FLOP");
    rows.push_back(std::move(c));
  }
  return rows;
}

}  // namespace kvroof::kernels
