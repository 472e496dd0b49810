// What a row of the engines' table says of its deployment, once its columns are untangled.
#pragma once
#include <string_view>

#include "model/accuracy/service_times.hpp"

namespace kvroof::accuracy {

struct Layout {
  int tp = 1, pp = 1, dp = 1, moe_tp = 1, moe_ep = 1;
  bool expert = false;
  bool operator==(const Layout&) const = default;
};

/// GPUs by the id's tag: "…_c64_tp4_0_ep4_0_568" -> 4; 0 without a tag.
int gpus_of_tag(std::string_view id);

/// The layout that was run. Columns of many rows multiply tensor by expert parallelism:
///   tagged    the tag is the number of GPUs; the columns may hold GPUs or GPUs · ep
///   untagged  a product of moe_tp = moe_ep > 1, or of tp = dp > 1, is the square of the GPUs
///   dp > 1    attention is replicated on every GPU: dp = GPUs, tp = 1
/// Experts are dealt out where moe_ep > 1.
Layout untangle(Layout columns, int tag);

/// Equal for rows that differ in nothing a prediction sees: the unit of a held-out split.
std::string configuration_of(const Measurement& m);

Answer answer_silicon(Context& context, const Measurement& m);

}  // namespace kvroof::accuracy
