#include "model/lint_rows.hpp"

#include <algorithm>
#include <map>

#include "model/llm_counts.hpp"
#include "model/public_names.hpp"
#include "model/search_path.hpp"
#include "model/user_error.hpp"

namespace kvroof::lint_rows {
namespace {

Dtype format_of(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  if (name.starts_with("fp8")) return Dtype::fp8;
  if (name == "fp4" || name.starts_with("nvfp4")) return Dtype::nvfp4;
  if (name.starts_with("w4a16") || name == "int4_wo" || name == "int4") return Dtype::int4_g128;
  if (name.starts_with("mxfp4") || name.starts_with("w4a8_mxfp4")) return Dtype::mxfp4;
  if (name == "int8_wo" || name == "int8" || name == "sq") return Dtype::int8;
  return dtype_from_name(name).value_or(Dtype::bf16);
}

/// Whatever a label says, data of fewer than 16 bits may have been multiplied on the fastest path
/// of its width: a floor must not assume a slower one.
MathType fastest_math(Dtype d) {
  if (d == Dtype::int4_g128) return MathType::bf16;  // weight-only
  return info(d).math;
}

}  // namespace

Claimed gemm_row(Row& r) {
  const double m = r.number({"m"}), n = r.number({"n"}), k = r.number({"k"});
  const Dtype d = format_of(r.text({"gemm_dtype", "dtype"}));
  Claimed c;
  c.flops = Flops{2 * m * n * k};
  c.math = fastest_math(d);
  const ElementSize in =
      d == Dtype::int4_g128 || d == Dtype::int8 ? ElementSize{1} : element_size(d);
  c.bytes =
      Elements{k * n} * element_size(d) + Elements{m * k} * in + Elements{m * n} * ElementSize{1};
  c.what = fmt::format("GEMM {:.0f} x {:.0f} x {:.0f} {}", m, n, k, name(d));
  return c;
}

Claimed attention_row(Row& r, bool decode) {
  const double b = r.number({"batch_size"}), isl = r.number({"isl"}), h_q = r.number({"num_heads"});
  const double h_kv = r.number({"num_key_value_heads"}), d = r.number({"head_dim"});
  const double window = r.number_or("window_size", 0);
  const Dtype act = format_of(r.text({"attn_dtype"})), kv = format_of(r.text({"kv_cache_dtype"}));
  Claimed c;
  c.math = fastest_math(element_size(kv) < element_size(act) ? kv : act);
  if (decode) {
    double s = isl + r.number_or("step", 0);
    if (window > 0) s = std::min(s, window);
    c.bytes = Elements{b * h_kv * s * 2 * d} * element_size(kv);
    c.flops = Flops{4 * b * h_q * s * d};
  } else {
    const double w = window > 0 ? std::min(window, isl) : isl;
    const double scores = w * isl - w * w / 2;  // causal, each query sees at most w keys
    c.flops = Flops{4 * b * h_q * scores * d};
    c.bytes = Elements{b * isl * d * (h_q + 2 * h_kv)} * ElementSize{1};
  }
  c.what = fmt::format("{} attention b{:.0f} s{:.0f} {:.0f}Q/{:.0f}KV d{:.0f} {}",
                       decode ? "decode" : "prefill", b, isl, h_q, h_kv, d, name(kv));
  return c;
}

/// DeepSeek's shape: latent 512, rotary 64, (192, 128) heads in prefill.
Claimed latent_row(Row& r, bool decode) {
  const double b = r.number({"batch_size"}), isl = r.number({"isl"}), h = r.number({"num_heads"});
  const Dtype kv = format_of(r.text({"kv_cache_dtype"}));
  Claimed c;
  c.math = element_size(kv) <= ElementSize{1} ? MathType::fp8 : MathType::bf16;
  const double s = decode ? isl + r.number_or("step", 0) : isl;
  if (decode) {
    c.bytes = Elements{b * s * 576} * element_size(kv);
    c.flops = Flops{2 * b * h * s * (576 + 512)};
  } else {
    c.flops = Flops{b * h * s * s * (192 + 128)};
  }
  c.what =
      fmt::format("MLA {} b{:.0f} s{:.0f} {:.0f} heads", decode ? "decode" : "prefill", b, isl, h);
  return c;
}

Claimed moe_row(Row& r) {
  const double t = r.number({"num_tokens"}), d = r.number({"hidden_size"}),
               ff = r.number({"inter_size"});
  const double k = r.number({"topk"}), e = r.number({"num_experts"});
  const double tp = r.number({"moe_tp_size"}), ep = r.number({"moe_ep_size"});
  const Dtype f = format_of(r.text({"moe_dtype"}));
  Claimed c;
  // Skewed routing can leave a rank almost idle; only an even or whole load has a floor.
  const bool whole = ep <= 1 || r.text({"distribution"}) == "balanced";
  c.flops = Flops{whole ? 6 * std::floor(t * k / ep) * d * ff / tp : 0};
  c.math = fastest_math(f);
  c.what = fmt::format("MoE {:.0f} tokens, {:.0f} of {:.0f} experts", t, k, e);
  return c;
}

Claimed collective_row(Row& r) {
  const double n = r.number({"num_gpus"});
  const Dtype d = format_of(r.text({"allreduce_dtype", "nccl_dtype"}));
  const Bytes size = Elements{r.number({"message_size"})} * element_size(d);
  const std::string op = r.text({"op_name"});
  Claimed c;
  c.collective.ranks = static_cast<int>(n);
  c.collective.payload = size;
  // all_gather and the others list the whole message; each rank's share is size/n.
  if (op.find("all_reduce") != std::string::npos) c.collective.kind = CollectiveKind::all_reduce;
  else if (op == "all_gather")
    c.collective.kind = CollectiveKind::all_gather, c.collective.payload = size / n;
  else if (op == "alltoall" || op == "all_to_all") c.collective.kind = CollectiveKind::all_to_all;
  c.what = fmt::format("{} of {:.0f} B over {:.0f} GPUs", op, size.value, n);
  return c;
}

/// Bytes and FLOPs stated in the row itself.
Claimed generic_row(Row& r, const Csv& csv) {
  Claimed c;
  if (csv.column({"bytes"}) >= 0) c.bytes = Bytes{r.number({"bytes"}, -1)};
  const int read = csv.column({"bytes_read", "hbm_read", "hbm_read_bytes"});
  if (read >= 0) c.bytes = Bytes{r.number({"bytes_read", "hbm_read", "hbm_read_bytes"}, -1)};
  if (csv.column({"bytes_written", "hbm_written", "hbm_written_bytes"}) >= 0)
    c.bytes += Bytes{r.number({"bytes_written", "hbm_written", "hbm_written_bytes"}, -1)};
  if (csv.column({"flops", "flop"}) >= 0) c.flops = Flops{r.number({"flops", "flop"}, -1)};
  c.math = fastest_math(format_of(r.text({"dtype"})));
  c.cold = true;
  c.what = r.text({"name", "kernel", "op", "op_name"});
  if (c.what.empty()) c.what = "row";
  return c;
}

namespace {

/// Decode reads the active weights and every sequence's cache once a token, whatever the engine
/// does. Without a batch the floor is that of one sequence.
struct Network {
  double weight_bytes, kv_bytes_per_token, flops_per_token;
  std::string problem;
};

Network network(const std::string& model, Dtype weights, Dtype kv) {
  static std::map<std::string, std::optional<LlmShape>> known;
  auto it = known.find(model);
  if (it == known.end()) {
    std::optional<LlmShape> shape;
    for (const std::string& id : llm_candidates(model)) try {
        shape = load_llm(id).shape;
        break;
      } catch (const UserError&) {
      }
    it = known.emplace(model, std::move(shape)).first;
  }
  if (!it->second) return {0, 0, 0, "no config of " + model};
  const LlmShape& llm = *it->second;
  const double read = static_cast<double>(active_params(llm)) - 1.0 * llm.vocab * llm.d_model;
  // Embedding, lm_head and attention may stay wider than the label;
  // a floor takes the label for all.
  return {read * element_size(weights).value, kv_bytes(llm, kv, 1).value, 2 * read, {}};
}

bool is_time(const std::string& unit) { return unit == "s" || unit == "ms" || unit == "us"; }
double time_unit(const std::string& unit) { return unit == "s" ? 1 : unit == "ms" ? milli : micro; }

}  // namespace

/// Rows of metric, value and unit: the floor of one output token of `batch` sequences.
std::optional<Claimed> metric_row(Row& r, std::string& reason) {
  const std::string metric = r.text({"metric"}), unit = r.text({"unit"});
  const double value = r.number({"value"}, -1e300);
  if (!r.fault().empty()) return Claimed{};
  const double gpus = std::max(1.0, r.number_or("num_gpus", 1));
  const double batch = r.number_or("batch_or_concurrency", 1);
  const Dtype weights = format_of(r.text({"weight_dtype"})), kv = format_of(r.text({"kv_dtype"}));
  Claimed c;
  c.gpus = gpus;
  c.cold = true;
  const bool tpot = metric.starts_with("tpot") && is_time(unit);
  const bool rate = metric == "output_throughput" || metric == "decode_tokens_per_s";
  const bool per_gpu = metric == "output_throughput_per_gpu";
  if (!tpot && !rate && !per_gpu)
    return reason = "metric " + metric + " has no floor of its own", std::nullopt;
  if (value <= 0) return reason = "value is not above zero", std::nullopt;
  // A batch that is not recorded (in-flight batching) leaves no floor for a throughput.
  if (!tpot && !to_number(r.text({"batch_or_concurrency"})))
    return reason = "batch is not recorded", std::nullopt;
  if (r.text({"note"}).find("spec") != std::string::npos)
    return reason = "speculative decoding", std::nullopt;
  const Network n = network(r.text({"model"}), weights, kv);
  if (!n.problem.empty()) return reason = n.problem, std::nullopt;
  const double context = r.number_or("isl", 0);
  const double sequences = tpot ? 1 : batch;
  c.bytes = Bytes{n.weight_bytes + sequences * context * n.kv_bytes_per_token};
  c.flops = Flops{n.flops_per_token * sequences};
  c.math = fastest_math(weights);
  c.measured = Seconds{tpot ? value * time_unit(unit) : sequences / (value * (per_gpu ? gpus : 1))};
  c.what = fmt::format("{} {} {}", r.text({"model"}), metric, r.text({"value"}));
  return c;
}

std::optional<Claimed> silicon_row(Row& r, std::string& reason) {
  if (r.text({"mode"}) != "agg")
    return reason = "disaggregated: GPUs of the decode pool are not all recorded", std::nullopt;
  const std::string precision = r.text({"precision"});
  const Dtype weights = format_of(precision.empty() ? "bf16" : precision);
  const double tpot = r.number({"silicon_tpot_ms"}) * milli;
  r.number({"silicon_ttft_ms"});
  const double ranks = std::max({1.0, r.number_or("tp_size", 1)}) *
                       std::max(1.0, r.number_or("pp_size", 1)) *
                       std::max(1.0, r.number_or("attention_dp_size", 1));
  const Network n = network(r.text({"model_path"}), weights,
                            element_size(weights) < ElementSize{2} ? Dtype::fp8 : Dtype::bf16);
  if (!n.problem.empty()) return reason = n.problem, std::nullopt;
  Claimed c;
  c.gpus = ranks;  // never fewer than used: the columns count some GPUs twice
  c.cold = true;
  c.measured = Seconds{tpot};
  c.bytes = Bytes{n.weight_bytes};
  c.what =
      fmt::format("{} TPOT {:.3g} ms on {:.0f} GPUs", r.text({"model_path"}), tpot / milli, ranks);
  return c;
}

}  // namespace kvroof::lint_rows
