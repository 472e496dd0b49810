#include "tests/reports/samples.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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
  return {"H100",
          {{"hbm", "HBM3", Bandwidth{3.35e12}, Bandwidth{3.0e12}}},
          {{"bf16", "BF16", Throughput{989e12}, Throughput{742e12}}}};
}
Roofline::Gpu b200() {
  return {"B200",
          {{"hbm", "HBM3e", Bandwidth{8.0e12}, Bandwidth{}}},
          {{"bf16", "BF16", Throughput{2250e12}, Throughput{}}}};
}

double step_bytes() {
  double sum = 0;
  for (const SampleOp& o : kOps) sum += o.bytes;
  return sum;
}

void add_ops(Roofline& f, int gpu, bool measured) {
  const auto& g = f.gpus[static_cast<std::size_t>(gpu)];
  const Bandwidth rate =
      g.levels[0].measured.value > 0 ? g.levels[0].measured : g.levels[0].datasheet;
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
    p.details.derivation =
        fmt::format("{:.2f} GB / {:.2f} TB/s", o.bytes / giga, rate.value / tera);
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
             {h200(true)},
             {},
             {}};
  add_ops(f, 0, true);
  return f;
}

Roofline predicted_roofline() {
  Roofline f{{"Llama-3.1-8B · 1 × H200 · decode · batch 1 … 256 · context 2,048 · BF16",
              "ops at batch 32, the whole step at every batch", kFooter},
             {h200(false)},
             {},
             {}};
  add_ops(f, 0, false);
  f.trajectories = {batches(0, Bandwidth{4.28e12}, Throughput{754e12})};
  return f;
}

Roofline three_gpus() {
  Roofline f{{"Llama-3.1-8B · H100, H200, B200 · decode · batch 32 · context 2,048 · BF16",
              "same ops, same bytes: only the roofs differ", kFooter},
             {h100(), h200(false), b200()},
             {},
             {}};
  for (int g = 0; g < 3; ++g) add_ops(f, g, false);
  return f;
}

RatioStrip strip() {
  RatioStrip f{{"Llama-3.1-8B · 1 × H200 · decode · batch 32",
                "measured over predicted time of each op", kFooter},
               {}};
  for (const SampleOp& o : kOps) {
    const Seconds t = Bytes{o.bytes} / Bandwidth{4.28e12};
    f.rows.push_back({o.name,
                      t,
                      t * o.factor,
                      t * (0.97 * o.factor),
                      t * (1.04 * o.factor),
                      o.bytes / step_bytes(),
                      {}});
  }
  f.rows.push_back({"all-reduce", Seconds{8e-6}, Seconds{}, Seconds{}, Seconds{}, 0, {}});
  return f;
}

OpTimes op_times() {
  OpTimes f{{"Llama-3.1-8B · 1 × H200 · decode · batch 32 · context 2,048 · BF16",
             "time of each op in one step", kFooter},
            {}};
  for (const SampleOp& o : kOps) {
    const Seconds floor = Bytes{o.bytes} / Bandwidth{4.8e12},
                  expected = Bytes{o.bytes} / Bandwidth{4.28e12};
    f.rows.push_back({o.name,
                      floor,
                      expected,
                      expected * o.factor,
                      "HBM",
                      {{}, "bytes / measured HBM read rate"}});
  }
  f.rows.push_back({"launches",
                    Seconds{},
                    Seconds{256 * 0.53e-6},
                    Seconds{},
                    "latency",
                    {{}, "256 graph nodes x 0.53 µs"}});
  return f;
}

Waterfall waterfall() {
  return {{"Where the time of a decode step goes",
           "Llama-3.1-8B · 1 × H200 · batch 32 · context 2,048 · BF16", kFooter},
          Seconds{5.06e-3},
          Seconds{5.97e-3},
          {{"HBM reaches 89 % of datasheet",
            Seconds{0.61e-3},
            {{}, "24.3 GB x (1 / 4.28 - 1 / 4.8 TB/s)"}},
           {"last wave of thread blocks", Seconds{0.12e-3}, {}},
           {"fill and drain of 256 kernels", Seconds{0.10e-3}, {}},
           {"launch gaps (graph)", Seconds{0.14e-3}, {}},
           {"weights prefetched under norms", Seconds{-0.06e-3}, {}}},
          Seconds{6.1e-3}};
}

MemoryMap memory() {
  const auto gib = [](double x) { return Bytes{x * gibi}; };
  return {{"Memory per GPU · Llama-3.1-70B · BF16", "gpu_memory_utilization 0.92", kFooter},
          {{"H100 80 GB · TP4",
            gib(79.6),
            gib(73.3),
            {{"weights", gib(32.9), {}},
             {"activations", gib(1.9), {}},
             {"graphs", gib(0.6), {}},
             {"KV cache", gib(37.9), {}}}},
           {"H200 141 GB · TP2",
            gib(139.8),
            gib(128.6),
            {{"weights", gib(65.7), {}},
             {"activations", gib(2.4), {}},
             {"graphs", gib(0.6), {}},
             {"KV cache", gib(59.9), {}}}},
           {"B200 180 GB · TP1",
            gib(178.4),
            gib(164.1),
            {{"weights", gib(131.4), {}},
             {"activations", gib(3.1), {}},
             {"graphs", gib(0.6), {}},
             {"KV cache", gib(29.0), {}}}}}};
}

KvContext kv_context() {
  // Llama-3.1-8B: 2 x 32 layers x 8 KV heads x 128 x 2 B = 128 KiB a token in BF16.
  KvContext f{{"KV cache against context · Llama-3.1-8B",
               "what is left for KV on each GPU at utilisation 0.92", kFooter},
              {},
              {{"RTX 4090", Bytes{5.2 * gibi}},
               {"H100 80 GB", Bytes{56.4 * gibi}},
               {"H200 141 GB", Bytes{111.7 * gibi}}}};
  const struct {
    const char* name;
    double batch, bytes;
  } curves[] = {{"batch 1, BF16", 1, 2},
                {"batch 16, FP8", 16, 1},
                {"batch 16, BF16", 16, 2},
                {"batch 128, BF16", 128, 2}};
  for (const auto& c : curves) {
    KvContext::Curve curve{c.name, {}};
    for (double n = 1024; n <= 131072; n *= 2)
      curve.at.push_back({Tokens{n}, Bytes{c.batch * n * 65536 * c.bytes}});
    f.curves.push_back(curve);
  }
  return f;
}

Pareto pareto() {
  Pareto f{{"Throughput against speed for a user · Llama-3.1-70B", "2,048 in, 256 out", kFooter},
           {}};
  const struct {
    const char* name;
    double bandwidth;
  } gpus[] = {{"H100", 3.0}, {"H200", 4.28}, {"B200", 7.2}};
  for (const auto& g : gpus) {
    Pareto::Series series{g.name, {}};
    for (const int tp : {2, 4, 8})
      for (int b = 1; b <= 256; b *= 4) {
        const double step =
            (141.0 / tp + b * 0.75 / tp) / g.bandwidth * 1e-3 + 160 * 12e-6 * tp / 8;
        series.at.push_back(
            {TokenRate{1 / step}, TokenRate{b / step / tp}, fmt::format("TP{} b{}", tp, b), {}});
      }
    f.series.push_back(series);
  }
  return f;
}

LoadCurve load() {
  LoadCurve f{{"Latency against load · Llama-3.1-8B · 2,048 in, 256 out",
               "open loop, Poisson arrivals", kFooter},
              "request rate  [requests/s]",
              {},
              Seconds{0.5},
              Seconds{0.03}};
  const struct {
    const char* name;
    double capacity, prefill, step;
  } gpus[] = {{"1 × H100", 12, 0.040, 0.0075}, {"1 × H200", 17, 0.039, 0.0056}};
  for (const auto& g : gpus) {
    LoadCurve::Series series{g.name, {}};
    for (double r = 1; r < g.capacity; r += 1) {
      const double rho = r / g.capacity, wait = g.prefill * rho / (1 - rho);
      const double tpot = g.step * (1 + 1.6 * rho / (1.2 - rho));
      series.at.push_back({r,
                           Seconds{g.prefill + wait},
                           Seconds{g.prefill + 4.6 * wait},
                           Seconds{tpot},
                           Seconds{tpot * (1.1 + rho)},
                           {}});
    }
    f.series.push_back(series);
  }
  return f;
}

CostContext cost() {
  CostContext f{{"Cost against context · Llama-3.1-70B · batch as large as memory allows",
                 "GPU hours at 2.50, 3.50 and 5.00 $", kFooter},
                {}};
  const struct {
    const char* name;
    double usd, pool, rate;
  } gpus[] = {{"8 × H100", 20, 440, 24}, {"8 × H200", 28, 870, 34}, {"8 × B200", 40, 1170, 58}};
  for (const auto& g : gpus) {
    CostContext::Series series{g.name, {}};
    for (double n = 2048; n <= 131072; n *= 2) {
      const double batch = std::min(256., std::floor(g.pool / (n * 320 * 1024 / gibi))),
                   step = (131 + batch * n * 320 * 1024 / gibi) / g.rate * 1e-3;
      series.at.push_back({Tokens{n},
                           g.usd / 3600 * step / batch * 1e6,
                           {{{"batch", fmt::format("{:.0f}", batch)}}, ""}});
    }
    f.series.push_back(series);
  }
  return f;
}

Validation validation(std::size_t rows_per_group) {
  Validation f{{"Decode attention: measured against predicted", "every row of the sample", kFooter},
               "time",
               "µs",
               {}};
  const struct {
    const char* name;
    double bias, spread;
  } groups[] = {{"GQA decode", 0.02, 0.06}, {"MLA decode", -0.05, 0.10}, {"paged v2", 0.08, 0.14}};
  unsigned seed = 1;
  for (const auto& g : groups) {
    Validation::Group group{g.name, {}};
    for (std::size_t i = 0; i < rows_per_group; ++i) {
      const auto random = [&] { return (seed = seed * 1664525u + 1013904223u) / 4294967296.; };
      const double predicted = 4 * std::pow(300., random());
      group.at.push_back({predicted,
                          predicted / (1 + g.bias + g.spread * (random() + random() - 1)),
                          fmt::format("{} row {}", g.name, i + 1),
                          {}});
    }
    f.groups.push_back(group);
  }
  return f;
}

Report report() {
  Report r{.title = "Layout sample: Llama-3.1-8B on one H200",
           .question = "Does it fit, how fast is it, and what limits it? (synthetic numbers)",
           .answer = "It fits; a decode step of 32 requests takes about 6 ms and HBM limits it."};
  r.facts = {{"decode step", "5.97 ms (5.7 – 6.2)"},
             {"KV pool", "112 GiB"},
             {"limited by", "HBM"},
             {"output tok/s per GPU", "5,360"}};
  r.warnings = {"These numbers only fill the layout: <not> a prediction & not a measurement."};
  r.sections = {
      {"Speed",
       {"Every op on its roof, predicted and measured."},
       {figure("roofline-decode", decode_roofline(), "All linear layers share one intensity.",
               "decode"),
        figure("roofline-batches", predicted_roofline(), "Batching moves the step to the right.",
               "decode"),
        figure("roofline-gpus", three_gpus(), "", "comparison"), figure("op-times", op_times()),
        figure("waterfall", waterfall())},
       {}},
      {"Memory", {}, {figure("memory", memory()), figure("kv-context", kv_context())}, {}},
      {"Service",
       {},
       {figure("pareto", pareto()), figure("load", load()), figure("cost", cost())},
       {}},
      {"How far to trust it",
       {},
       {figure("strip", strip()), figure("validation", validation(12))},
       {}}};
  r.assumptions = {"",
                   {{"what", false}, {"value"}, {"source", false}},
                   {{"HBM read", "4.28 TB/s", "synthetic"}, {"block size", "16", "vLLM default"}}};
  r.provenance = {"Made by the layout test; no profile, no GPU."};
  r.results_json = R"({"note": "</script> stays inside"})";
  return r;
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
  both("strip", strip());
  both("op-times", op_times());
  both("waterfall", waterfall());
  both("memory", memory());
  both("kv-context", kv_context());
  both("pareto", pareto());
  both("load", load());
  both("cost", cost());
  both("validation", validation());
  return out;
}

}  // namespace kvroof::reports::samples
