#include "tests/reports/samples.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace kvroof::reports::samples {
namespace {

const std::string kFooter =
    "layout sample with synthetic numbers · profile none · not a measurement";

struct SampleOp {
  const char *name, *kind;
  double flops, bytes;  // of a step of one 8B-like dense LLM, batch 32, 2,048 tokens of context
  double factor;        // stands in for measured / predicted time
};
// Linear layers: 2·m·n·k·layers FLOP, 2 B per weight. Attention: 4·b·s·h_q·d·layers FLOP.
constexpr SampleOp kOps[] = {
    {"attention", "attention", 36.5e9, 9.14e9, 1.06},
    {"gate_up_proj", "linear", 240.5e9, 7.54e9, 1.03},
    {"down_proj", "linear", 120.3e9, 3.79e9, 0.98},
    {"qkv_proj", "linear", 51.5e9, 1.63e9, 1.12},
    {"o_proj", "linear", 34.4e9, 1.09e9, 1.17},
    {"lm_head", "linear", 33.6e9, 1.06e9, 1.01},
    {"rmsnorm", "elementwise", 0.034e9, 0.034e9, 1.38},
    {"rope + append", "elementwise", 0.06e9, 0.021e9, 0.86},
};

Roofline::Gpu h200(bool all_levels) {
  Roofline::Gpu g{"H200",
                  {{"hbm", "HBM3e", Bandwidth{4.8e12}, Bandwidth{4.28e12}}},
                  {{"bf16", "BF16 tensor", Throughput{989e12}, Throughput{754e12}}}};
  if (all_levels) {
    g.levels.push_back({"l2", "L2", Bandwidth{10.3e12}, Bandwidth{7.0e12}, false});
    g.levels.push_back({"smem", "shared memory", Bandwidth{33.4e12}, Bandwidth{30.5e12}, false});
    g.peaks.push_back({"fp8", "FP8 tensor", Throughput{1979e12}, Throughput{1400e12}, false});
  }
  return g;
}
Roofline::Gpu h100() {
  return {"H100", {{"hbm", "HBM3", Bandwidth{3.35e12}, Bandwidth{3.0e12}}},
          {{"bf16", "BF16", Throughput{989e12}, Throughput{742e12}}}};
}
Roofline::Gpu b200() {
  return {"B200", {{"hbm", "HBM3e", Bandwidth{8.0e12}, Bandwidth{}}},
          {{"bf16", "BF16", Throughput{2250e12}, Throughput{}}}};
}

double step_bytes() {
  double sum = 0;
  for (const SampleOp& o : kOps) sum += o.bytes;
  return sum;
}

void add_ops(Roofline& f, int gpu, bool measured) {
  const auto& g = f.gpus[static_cast<std::size_t>(gpu)];
  const Bandwidth rate = g.levels[0].measured.value > 0 ? g.levels[0].measured : g.levels[0].datasheet;
  for (const SampleOp& o : kOps) {
    Roofline::Point p{.name = o.name, .kind = o.kind, .gpu = gpu};
    p.intensity = Flops{o.flops} / Bytes{o.bytes};
    p.predicted = Flops{o.flops} / (Bytes{o.bytes} / rate);
    p.share = o.bytes / step_bytes();
    if (measured) {
      p.measured = p.predicted / o.factor;
      p.p5 = o.factor * 0.97, p.p95 = o.factor * 1.04;
    }
    if (g.levels.size() > 1) p.at_level = {{"l2", p.intensity * 0.8}, {"smem", p.intensity * 0.5}};
    p.details.rows = {{"HBM bytes", fmt::format("{:.2f} GB", o.bytes / giga)},
                      {"FLOP", fmt::format("{:.1f} G", o.flops / giga)}};
    p.details.derivation = fmt::format("{:.2f} GB / {:.2f} TB/s", o.bytes / giga, rate.value / tera);
    f.points.push_back(p);
  }
}

/// Step of batch b: weights are read once (15 GB), 16 GFLOP and 0.285 GB of KV per request.
Roofline::Trajectory batches(int gpu, Bandwidth rate, Throughput peak) {
  Roofline::Trajectory t{"decode step", gpu, {}};
  for (int b = 1; b <= 256; b *= 2) {
    const Flops flops{b * 16.1e9};
    const Bytes bytes{15e9 + b * 0.285e9};
    t.at.push_back({b, flops / bytes, min((flops / bytes) * rate, peak)});
  }
  return t;
}

}  // namespace

Roofline decode_roofline() {
  Roofline f{{"Llama-3.1-8B · 1 × H200 · decode · batch 32 · context 2,048 · BF16",
              "per GPU; bands from measured (solid) to datasheet (dashed)", kFooter},
             {h200(true)}, {}, {}};
  add_ops(f, 0, true);
  return f;
}

Roofline predicted_roofline() {
  Roofline f{{"Llama-3.1-8B · 1 × H200 · decode · batch 1 … 256 · context 2,048 · BF16",
              "ops at batch 32, the whole step at every batch", kFooter},
             {h200(false)}, {}, {}};
  add_ops(f, 0, false);
  f.trajectories = {batches(0, Bandwidth{4.28e12}, Throughput{754e12})};
  return f;
}

Roofline three_gpus() {
  Roofline f{{"Llama-3.1-8B · H100, H200, B200 · decode · batch 32 · context 2,048 · BF16",
              "same ops, same bytes: only the roofs differ", kFooter},
             {h100(), h200(false), b200()}, {}, {}};
  for (int g = 0; g < 3; ++g) add_ops(f, g, false);
  return f;
}

std::vector<std::pair<std::string, Scene>> all_scenes() {
  std::vector<std::pair<std::string, Scene>> out;
  const auto both = [&](const std::string& stem, const auto& f) {
    out.push_back({stem, scene(f)});
    out.push_back({stem + "-narrow", scene(f, {.width = 360})});
  };
  both("roofline", decode_roofline());
  both("roofline-batches", predicted_roofline());
  both("roofline-gpus", three_gpus());
  return out;
}

}  // namespace kvroof::reports::samples
