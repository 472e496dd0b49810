// A scenario: which network on which GPUs, served how, under which load, held to which objective.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/attention/variant.hpp"
#include "model/fields.hpp"
#include "model/policy.hpp"
#include "model/shape.hpp"

namespace kvroof {

enum class LengthKind { fixed, lognormal, exponential, uniform };
template <>
struct Words<LengthKind> {
  static constexpr std::string_view names[] = {"fixed", "lognormal", "exponential", "uniform"};
};

/// Token counts of requests: one number, a distribution, or the column of a trace.
struct Lengths {
  std::optional<double> mean, p50, p95, p99, min, max;
  LengthKind distribution = LengthKind::fixed;
  std::string trace;
  bool given() const { return mean || p50 || !trace.empty(); }
  /// The mean; lognormal with only a median and p95 has mean = p50·exp(sigma²/2).
  double mean_tokens() const;
  bool operator==(const Lengths&) const = default;
};
template <>
struct Shorthand<Lengths> {
  static constexpr auto member = &Lengths::mean;
};

struct Workload {
  Lengths input_len, output_len;
  std::optional<double> max_concurrency;  // closed loop
  std::optional<double> request_rate;     // open loop, requests per second
  double burstiness = 1;                  // gamma arrivals, 1 = Poisson, as in `vllm bench serve`
  double prefix_hit_rate = 0;
  std::optional<double> batch, context;  // one decode step of `batch` requests at `context` tokens
  double num_requests = 1000;
  double seed = 0;
  bool operator==(const Workload&) const = default;
};

struct Percentiles {
  std::optional<double> mean, p50, p90, p95, p99;
  bool operator==(const Percentiles&) const = default;
};

struct Slo {
  std::string preset;
  Percentiles ttft_ms, tpot_ms, e2e_ms;
  bool operator==(const Slo&) const = default;
};
template <>
struct Shorthand<Slo> {
  static constexpr auto member = &Slo::preset;
};

struct SloPreset {
  std::string_view name;
  double ttft_p99_ms, tpot_p99_ms;
};
/// MLPerf Inference rules, mlcommons/inference_policies.
std::span<const SloPreset> slo_presets();

struct Cost {
  std::optional<double> gpu_hour_usd;
  bool operator==(const Cost&) const = default;
};

/// One attention call on one GPU, without a network around it.
struct KernelCall {
  std::string variant;
  AttentionShape shape;
  Dtype dtype = Dtype::bf16;
  std::optional<Dtype> kv_dtype;
  attention::Options options;
  attention::Formats formats() const {
    return {.act = dtype, .kv = kv_dtype.value_or(dtype), .math = info(dtype).math};
  }
};

enum class DraftMethod { draft_model, medusa, eagle, mtp, self_speculative, ngram };
template <>
struct Words<DraftMethod> {
  static constexpr std::string_view names[] = {"draft_model", "medusa",           "eagle",
                                               "mtp",         "self_speculative", "ngram"};
};

struct Speculative {
  DraftMethod method = DraftMethod::draft_model;
  int num_speculative_tokens = 4;
  double acceptance = 0.7;  // probability that one proposed token is kept
  std::string draft_model;
  std::optional<double>
      draft_cost;  // one draft token over one target step, where no model is named
  std::optional<double> layers_share;  // self_speculative: share of the layers that draft
  int max_batch = 0;                   // 0: speculate at any batch
  bool operator==(const Speculative&) const = default;
};

enum class LinkKind { nvlink, pcie, nic };
template <>
struct Words<LinkKind> {
  static constexpr std::string_view names[] = {"nvlink", "pcie", "nic"};
};

/// Prefill and decode on GPUs of their own; K/V travels over `link`.
struct Disaggregation {
  int prefill_gpus = 1, decode_gpus = 1;
  std::optional<int> prefill_tensor_parallel_size, decode_tensor_parallel_size;
  std::string prefill_hardware;
  LinkKind link = LinkKind::nic;
  bool operator==(const Disaggregation&) const = default;
};

enum class Batching { continuous, static_batching };
template <>
struct Words<Batching> {
  static constexpr std::string_view names[] = {"continuous", "static"};
};
enum class Preemption { recompute, swap };
template <>
struct Words<Preemption> {
  static constexpr std::string_view names[] = {"recompute", "swap"};
};
enum class KvAllocation { paged, reserved, buddy };
template <>
struct Words<KvAllocation> {
  static constexpr std::string_view names[] = {"paged", "reserved", "buddy"};
};

struct Scheduler {
  Batching policy = Batching::continuous;
  bool chunked_prefill = true;
  bool prefix_caching = true;
  bool padded = false;  // static batches padded to the longest prompt, rather than ragged
  Preemption preemption = Preemption::recompute;
  KvAllocation kv_allocation = KvAllocation::paged;
  double watermark = 0.01;  // share of blocks kept free when a request is admitted
  double swap_gib = 0;      // host memory for swapped K/V, per GPU
  bool operator==(const Scheduler&) const = default;
};

/// One axis of a grid: a key path and the values it takes, as written.
struct Axis {
  std::string path;
  std::vector<Node> values;
};
struct Sweep {
  using custom_field = void;
  std::vector<Axis> axes;
};

struct Scenario {
  std::string schema;
  std::string extends;  // file whose values hold where this one gives none; one level
  std::string name, note;
  std::string model, hardware;  // ids or paths
  int num_gpus = 0;             // 0: as many as the parallelism needs
  std::string engine = "vllm";  // vllm, sglang or trtllm: whose defaults and memory rule
  Policy policy;                // the `serving` block
  Workload workload;
  Slo slo;
  Cost cost;
  std::vector<KernelCall> kernels;
  std::optional<KernelCall> kernel;
  std::optional<Speculative> speculative;
  std::optional<Disaggregation> disaggregation;
  Scheduler scheduler;
  Sweep sweep;

  std::string file, folder;  // where it was read from; paths in it are relative to it
  std::set<std::string, std::less<>> given;  // dotted paths the user gave; the rest are defaults
  std::vector<std::string> notes;
  bool was_given(std::string_view path) const { return given.find(path) != given.end(); }
  /// `kernel` and `kernels` together.
  std::vector<KernelCall> kernel_calls() const;
};

/// key = value from the command line, or from an engine's command line.
struct Override {
  std::string path, value;
  std::string origin;  // what an error names: --set, or a whole argument: --engine-args -tp 4
};

Scenario load_scenario(const std::string& path, const std::vector<Override>& overrides = {});

/// The same from a parsed mapping; `folder` resolves relative paths.
Scenario scenario_from_node(Node root, const std::string& folder,
                            const std::vector<Override>& overrides = {});

/// A scenario without a file: everything from overrides.
Scenario scenario_from_overrides(const std::vector<Override>& overrides);

/// Sets root.path = value, creating mappings on the way; the value is read as YAML.
void apply_override(Node& root, const Override& override);

/// The path's mapping with extends: base.yaml merged under it, one level.
Node load_extended(const std::string& path);

/// Defaulted serving fields and their values, for the report: "block_size 16".
std::vector<std::string> defaults_used(const Scenario& s);

/// All inputs in base units, and under "given" the paths that were not left to their defaults.
Node resolved_inputs(const Scenario& s);

}  // namespace kvroof
