// One row of an operator table: which operator, in which format, of which shape.
#pragma once
#include <array>
#include <string>
#include <string_view>

#include "model/csv.hpp"
#include "model/dtype.hpp"
#include "model/lint_rows.hpp"
#include "model/machine.hpp"

namespace kvroof::accuracy {

enum class OperatorTable {
  none,
  gemm,           // m, n, k
  attention,      // batch, isl, query and K/V heads, head size, window; prefill or decode
  latent,         // DeepSeek's MLA: batch, isl, heads; the kernel
  latent_module,  // the same with its projections
  latent_bmm,     // the absorbed products before and after it
  moe,            // tokens, hidden and expert sizes, top-k, experts, tensor and expert cuts; of
                  // routing by a power law: exponent, tokens given to the rank, slots to balance
  collective,     // GPUs, elements
  exchange        // MoE dispatch and combine: tokens, hidden size, top-k, ranks, SMs that copy
};

/// Ends the kernel's name of MoE rows up to TensorRT-LLM 1.3.0rc10.
inline constexpr std::string_view kEarlyRouting = "_early";

OperatorTable operator_table(const Csv& csv);

/// Shape numbers in the order of the table's comment above; unused ones are 0.
struct OperatorRow {
  OperatorTable table = OperatorTable::none;
  std::string operation;  // op_name
  std::string kernel;     // kernel_source, for what the name alone does not say
  Dtype weights = Dtype::bf16, cache = Dtype::bf16;
  std::array<double, 10> shape{};
  std::string problem;  // why it cannot be read

  std::string group() const;   // "gemm fp8", "decode attention bf16"
  std::string packed() const;  // the row as one short text, so that a million rows stay small
};
OperatorRow unpacked(const std::string& text);

OperatorRow operator_row(lint_rows::Row& r, OperatorTable table, std::string_view operation);

/// Expected time of one call inside a captured graph; throws std::domain_error where the GPU lacks
/// a unit and std::runtime_error for what no op of the model stands for.
Seconds operator_time(const OperatorRow& row, const Machine& m);

}  // namespace kvroof::accuracy
