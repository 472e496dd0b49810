#include "model/accuracy/operator_row.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <sstream>

#include "model/accuracy/context.hpp"

namespace kvroof::accuracy {
namespace {

constexpr std::string_view kPowerLaw = "power_law_";

}  // namespace

OperatorTable operator_table(const Csv& csv) {
  if (csv.has({"gemm_dtype", "m", "n", "k", "latency"})) return OperatorTable::gemm;
  if (csv.has({"batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "latency"}))
    return OperatorTable::attention;
  if (csv.has({"mla_dtype", "num_heads", "isl", "gemm_type", "latency"}))
    return OperatorTable::latent_module;
  if (csv.has({"mla_dtype", "num_heads", "isl", "latency"})) return OperatorTable::latent;
  if (csv.has({"bmm_dtype", "num_tokens", "num_heads", "latency"}))
    return OperatorTable::latent_bmm;
  if (csv.has({"moe_dtype", "num_tokens", "inter_size", "num_experts", "latency"}))
    return OperatorTable::moe;
  if (csv.has({"num_gpus", "message_size", "latency"})) return OperatorTable::collective;
  if (csv.has({"num_tokens", "hidden_size", "topk", "moe_ep_size", "latency"}) ||
      csv.has({"node_num", "hidden_size", "num_token", "num_topk"}))
    return OperatorTable::exchange;
  return OperatorTable::none;
}

std::string OperatorRow::group() const { return fmt::format("{} {}", operation, name(weights)); }

std::string OperatorRow::packed() const {
  std::string text = fmt::format(
      "{} {} {} {} {}", static_cast<int>(table), static_cast<int>(weights), static_cast<int>(cache),
      operation.empty() ? "-" : operation, kernel.empty() ? "-" : kernel);
  for (double x : shape) text += fmt::format(" {:g}", x);
  return text;
}

OperatorRow unpacked(const std::string& text) {
  OperatorRow r;
  std::istringstream in(text);
  int table = 0, weights = 0, cache = 0;
  in >> table >> weights >> cache >> r.operation >> r.kernel;
  for (double& x : r.shape) in >> x;
  r.table = static_cast<OperatorTable>(table);
  r.weights = static_cast<Dtype>(weights), r.cache = static_cast<Dtype>(cache);
  return r;
}

OperatorRow operator_row(lint_rows::Row& r, OperatorTable table, std::string_view operation) {
  OperatorRow out{.table = table};
  out.operation = operation.empty() ? r.text({"op_name"}) : std::string(operation);
  out.kernel = r.text({"kernel_source"});
  for (std::string* word : {&out.operation, &out.kernel})
    for (char& c : *word)
      if (c == ' ') c = '_';
  const auto format = [&](std::initializer_list<std::string_view> columns, Dtype& into) {
    const std::string text = r.text(columns);
    if (text.empty()) return;
    if (text == "sq") into = Dtype::int8;
    else if (text == "half") into = Dtype::fp16;
    else if (const std::optional<Dtype> d = format_of(text)) into = *d;
    else out.problem = "unknown format '" + text + "'";
  };
  format({"gemm_dtype", "gemm_type", "bmm_dtype", "moe_dtype", "attn_dtype", "mla_dtype",
          "allreduce_dtype", "nccl_dtype"},
         out.weights);
  format({"kv_cache_dtype"}, out.cache);
  if (r.text({"gemm_dtype"}).ends_with("_wo")) out.kernel = "weight_only";
  switch (table) {
    case OperatorTable::gemm:
      out.shape = {r.number({"m"}), r.number({"n"}), r.number({"k"})};
      break;
    case OperatorTable::attention:
      out.shape = {r.number({"batch_size"}),
                   r.number({"isl"}),
                   r.number_or("step", 0),
                   r.number({"num_heads"}),
                   r.number({"num_key_value_heads"}),
                   r.number({"head_dim"}),
                   r.number_or("window_size", 0)};
      break;
    case OperatorTable::latent:
    case OperatorTable::latent_module:
      out.shape = {r.number({"batch_size"}), r.number({"isl"}), r.number_or("step", 0),
                   r.number({"num_heads"})};
      break;
    case OperatorTable::latent_bmm:
      out.shape = {r.number({"num_tokens"}), r.number({"num_heads"})};
      break;
    case OperatorTable::moe:
      out.shape = {r.number({"num_tokens"}), r.number({"hidden_size"}), r.number({"inter_size"}),
                   r.number({"topk"}),       r.number({"num_experts"}), r.number({"moe_tp_size"}),
                   r.number({"moe_ep_size"})};
      if (const std::string version = r.text({"version"});
          version < "1.3" || version.starts_with("1.3.0rc10"))
        out.kernel += kEarlyRouting;
      if (const std::string d = r.text({"distribution"}); d.starts_with(kPowerLaw)) {
        out.operation += "_power_law";
        out.shape[7] = std::atof(d.substr(kPowerLaw.size()).c_str());
        out.shape[8] = r.number_or("rank0_num_tokens", 0);
        if (d.ends_with("_eplb")) out.shape[9] = r.number_or("num_slots", 0);
      }
      break;
    case OperatorTable::collective:
      out.shape = {r.number({"num_gpus"}), r.number({"message_size"})};
      break;
    case OperatorTable::exchange:
      out.shape = {r.number({"num_tokens", "num_token"}), r.number({"hidden_size"}),
                   r.number({"topk", "num_topk"}),
                   r.number_or("moe_ep_size", 8 * r.number_or("node_num", 1)),
                   r.number_or(std::string(operation) + "_sms", 0)};
      break;
    case OperatorTable::none:
      break;
  }
  if (!r.fault().empty()) out.problem = r.fault();
  return out;
}

}  // namespace kvroof::accuracy
