// The model's cost of one launch of an attention kernel, as the op that validate judges.
#pragma once
#include <string_view>

#include "model/attention/variant.hpp"
#include "model/op.hpp"

namespace kvroof::kernels {

inline Op attention_op(std::string_view name, OpClass op_class, const attention::Cost& cost,
                       MathType math = MathType::bf16) {
  return {.name = name,
          .op_class = op_class,
          .math = math,
          .work = cost.work,
          .execution = cost.execution,
          .handed_over = cost.handed_over,
          .kept = cost.kept};
}

}  // namespace kvroof::kernels
