// kvroof-probe seeds: the results this field grew from, measured on this GPU beside what their
// papers say.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "cupti_probe/count.hpp"
#include "cupti_probe/environment.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/verbs.hpp"
#include "kernels/bench.hpp"
#include "kernels/device.hpp"
#include "model/user_error.hpp"

namespace kvroof::probe {
namespace {

using kernels::Args;

/// One kernel of the catalogue at one shape.
struct Launched {
  const char* entry;
  Args args;
};

/// Several run one after another (forward and backward).
struct Side {
  std::vector<Launched> kernels;
  kernels::Submit submit = kernels::Submit::graph;
};

///   said   what the paper (or vendor) reports, and on what
struct Seed {
  const char *name, *said;
  Side before, after;
};

Args with(Args args, std::initializer_list<std::pair<const std::string, double>> more) {
  for (const auto& [key, value] : more) args[key] = value;
  return args;
}

std::vector<Seed> all_seeds() {
  // GPT-2 medium's attention: 16 heads of 64, 1024 tokens, batch 64.
  const Args gpt2{{"b", 64}, {"h_q", 16}, {"s_q", 1024}, {"d", 64}, {"causal", 0}};
  const Args long_prompt{{"b", 8}, {"h_q", 16}, {"s_q", 2048}, {"d", 128}, {"causal", 0}};
  const Args one_long{{"b", 1}, {"h_q", 16}, {"h_kv", 2}, {"s_kv", 65536}, {"d", 128}};
  const Args heads{{"b", 32}, {"h_q", 64}, {"s_kv", 8192}, {"d", 128}};
  const Args paged{{"b", 32}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 8192}, {"d", 128}};
  const Args shared{{"b", 32}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 8704}, {"d", 128}};
  const Args step{{"b", 8}, {"s_kv", 1024}};
  const Args norm{{"tokens", 16384}, {"d", 8192}};
  const Args mlp{{"tokens", 8192}, {"d_ff", 28672}};
  const Args rows{{"h_q", 32}, {"s_q", 2048}, {"s_kv", 2048}};
  return {
      {"naive to flash, forward",
       "standard 119, FA2 362 TFLOP/s: 3.0x (H100, FA3 fig. 5, 2K d128)",
       {{{"naive", long_prompt}}},
       {{{"flash_v2", long_prompt}}}},
      {"naive to flash, forward + backward",
       "HBM 40.3 to 4.4 GB: 9.2x, 41.7 to 7.3 ms: 5.7x (A100, FA1 fig. 2, with dropout and mask)",
       {{{"naive", gpt2}, {"naive_backward", gpt2}}},
       {{{"flash_v2", gpt2}, {"flash_backward", gpt2}}}},
      {"FlashAttention-1 to 2, forward",
       "about 2x (FA2, arXiv:2307.08691)",
       {{{"flash_v1", long_prompt}}},
       {{{"flash_v2", long_prompt}}}},
      {"FlashAttention-2 to 3, forward",
       "362 to 625 TFLOP/s: 1.7x (H100, FA3, 2K d128)",
       {{{"flash_v2", long_prompt}}},
       {{{"flash_v3", long_prompt}}}},
      {"safe to online softmax",
       "4 to 3 accesses an element, up to 1.3x (V100, arXiv:1805.02867)",
       {{{"softmax", with(rows, {{"online", 0}})}}},
       {{{"softmax", with(rows, {{"online", 1}})}}}},
      {"Flash-Decoding, 64K tokens, batch 1",
       "2300.6 to 64.4 us: 36x (A100, FA v2.0.9 to split-KV, 16 heads on 2)",
       {{{"flash_decoding", with(one_long, {{"splits", 1}})}}},
       {{{"flash_decoding", one_long}}}},
      {"MHA to GQA-8 decode",
       "K/V bytes divided by h_q / h_kv = 8 (arXiv:2305.13245)",
       {{{"gqa_decode", with(heads, {{"h_kv", 64}})}}},
       {{{"gqa_decode", with(heads, {{"h_kv", 8}})}}}},
      {"contiguous to paged decode",
       "paging costs 20 to 26 % of the kernel (A100, vLLM paper)",
       {{{"flash_decoding", paged}}},
       {{{"paged_decode", with(paged, {{"block_size", 16}, {"version", 2}})}}}},
      {"plain to cascade decode, 8K shared of 8.5K",
       "the shared prefix is read once, not 32 times (arXiv:2501.01005)",
       {{{"flash_decoding", shared}}},
       {{{"cascade", with(shared, {{"prefix", 8192}})}}}},
      {"residual + norm, fused",
       "5 to 4 passes over the row: 1.25x (by counting)",
       {{{"rms_norm", with(norm, {{"fused", 0}})}}},
       {{{"rms_norm", with(norm, {{"fused", 1}})}}}},
      {"SwiGLU, fused",
       "5 to 3 passes: 1.67x (by counting)",
       {{{"swiglu", with(mlp, {{"fused", 0}})}}},
       {{{"swiglu", with(mlp, {{"fused", 1}})}}}},
      {"decode step, unfused to fused",
       "one launch and one pass less a chain",
       {{{"decode_step", with(step, {{"fused", 0}})}}},
       {{{"decode_step", with(step, {{"fused", 1}})}}}},
      {"decode step, stream to graph",
       "2.5 us and 1 ns a node for the host (NVIDIA blog, CUDA 12.6), 2 to 4 us a launch without",
       {{{"decode_step", with(step, {{"fused", 1}})}}, kernels::Submit::stream},
       {{{"decode_step", with(step, {{"fused", 1}})}}, kernels::Submit::graph}},
  };
}

/// Seconds and HBM bytes of a side.
struct Measured {
  std::optional<double> seconds, bytes;
  double predicted_bytes = 0;
};

std::vector<kernels::Case> cases_of(const Side& side) {
  std::vector<kernels::Case> cases;
  for (const Launched& k : side.kernels) cases.push_back(entry_named(k.entry).make(k.args));
  return cases;
}

Measured timed(const Side& side) {
  const std::vector<kernels::Case> cases = cases_of(side);
  Measured out;
  for (const kernels::Case& c : cases)
    out.predicted_bytes += (c.op.work.hbm() + c.op.work.reread - c.op.handed_over / 2).value;
  // All kernels of the side as one launch, L2 warm from the last: what a step would see.
  const auto launch = [&](cudaStream_t stream) {
    for (const kernels::Case& c : cases) c.launch(stream);
  };
  out.seconds = kernels::time_launches(launch, {.repeats = 15, .submit = side.submit}).median;
  return out;
}

/// Reads, and writes until a flush behind the kernels, L2 cold before each.
std::optional<double> counted_bytes(const Side& side) {
  double bytes = 0;
  for (const kernels::Case& c : cases_of(side)) {
    const Counts counts = count(c, load_group("hbm"), {.launches = 3, .write_back = true});
    if (!counts["read"] || !counts.written_back) return std::nullopt;
    bytes += *counts["read"] + *counts.written_back;
  }
  return bytes;
}

/// A seed and what came of it.
struct Outcome {
  Seed seed;
  Measured before, after;
  std::string note;  // why there are no numbers
};

Outcome time_seed(const Seed& seed) {
  Outcome out{.seed = seed};
  try {
    out.before = timed(seed.before), out.after = timed(seed.after);
  } catch (const kernels::NotOnThisGpu& e) {
    out.note = e.what();
  }
  return out;
}

std::string ratio(std::optional<double> before, std::optional<double> after) {
  return before && after && *after > 0 ? fmt::format("{:.2f}x", *before / *after) : "–";
}

std::string bytes_text(std::optional<double> bytes) {
  return bytes ? with_prefix(*bytes, "byte") : "–";
}

std::string side_text(const Side& side) {
  std::string all;
  for (const Launched& k : side.kernels)
    all += (all.empty() ? "" : " + ") + std::string(k.entry) + " " + text_of(k.args);
  return all + (side.submit == kernels::Submit::stream ? " (stream)" : "");
}

void print(const Outcome& o) {
  fmt::print("\n{}\n  paper     {}\n", o.seed.name, o.seed.said);
  if (!o.note.empty()) {
    fmt::print("  here      {}\n", o.note);
    return;
  }
  fmt::print("  here      {} to {}: {}    HBM {} to {}: {} (predicted {:.2f}x)\n",
             with_prefix(*o.before.seconds, "s"), with_prefix(*o.after.seconds, "s"),
             ratio(o.before.seconds, o.after.seconds), bytes_text(o.before.bytes),
             bytes_text(o.after.bytes), ratio(o.before.bytes, o.after.bytes),
             o.before.predicted_bytes / o.after.predicted_bytes);
}

std::vector<std::string> row_of(const Outcome& o) {
  const auto over = [](std::optional<double> a, std::optional<double> b) {
    return a && b ? csv_number(*a / *b) : "";
  };
  const bool measured = o.note.empty();
  return {o.seed.name,
          o.seed.said,
          side_text(o.seed.before),
          side_text(o.seed.after),
          csv_number(o.before.seconds),
          csv_number(o.after.seconds),
          over(o.before.seconds, o.after.seconds),
          csv_number(o.before.bytes),
          csv_number(o.after.bytes),
          over(o.before.bytes, o.after.bytes),
          measured ? csv_number(o.before.predicted_bytes / o.after.predicted_bytes) : "",
          o.note};
}

}  // namespace

int seeds(const SeedsOptions& options, const std::string& command) {
  std::vector<Seed> wanted;
  std::vector<std::string_view> names;
  for (const Seed& seed : all_seeds()) {
    names.emplace_back(seed.name);
    if (options.only.empty() ||
        std::find(options.only.begin(), options.only.end(), seed.name) != options.only.end())
      wanted.push_back(seed);
  }
  for (const std::string& name : options.only)
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw UserError(fmt::format("--only: expected one of \"{}\", got \"{}\"",
                                  fmt::join(names, "\", \""), name));
  const std::unique_ptr<Record> record = open_record(
      options.csv, {"seed", "said", "before", "after", "before_s", "after_s", "time_ratio",
                    "before_bytes", "after_bytes", "bytes_ratio", "predicted_bytes_ratio", "note"});
  require_gpu();
  SensorWatch watch(0);
  // All times first: once CUPTI has counted in a process, launches stay slower.
  std::vector<Outcome> outcomes;
  for (const Seed& seed : wanted) outcomes.push_back(time_seed(seed));
  for (Outcome& o : outcomes) {
    if (o.note.empty() && options.counters) {
      o.before.bytes = counted_bytes(o.seed.before);
      o.after.bytes = counted_bytes(o.seed.after);
    }
    print(o);
    if (record) record->row(row_of(o));
  }
  const Environment env = environment(command, options.counters);
  fmt::print("\n{}\n", headline(env));
  if (record) record->close(header_lines(env, watch.stop()));
  return 0;
}

}  // namespace kvroof::probe
