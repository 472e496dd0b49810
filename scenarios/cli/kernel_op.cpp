#include "scenarios/cli/kernel_op.hpp"

#include "model/lowering.hpp"
#include "model/user_error.hpp"

namespace kvroof::cli {

Op kernel_op(const KernelCall& call, const Machine& m) {
  const attention::Variant* v = attention::find_variant(call.variant);
  if (!v) throw UserError(call.variant + ": no such attention variant");
  attention::Formats formats = call.formats();
  if (m.roof(formats.math).peak <= Throughput{}) formats.math = MathType::bf16;
  const attention::Cost cost = v->cost(call.shape, formats, on_chip(m), call.options);
  Op op{.name = v->name,
        .math = formats.math,
        .work = cost.work,
        .execution = cost.execution,
        .handed_over = cost.handed_over};
  op.op_class = call.shape.s_q > 1 ? OpClass::prefill_attention : OpClass::decode_attention;
  return op;
}

}  // namespace kvroof::cli
