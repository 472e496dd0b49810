#include "cupti_probe/op_record.hpp"

#include <fmt/core.h>

#include <optional>

#include "model/csv.hpp"
#include "model/user_error.hpp"

namespace kvroof::probe {
namespace {

/// f(key, number) for every number of an op, by reference.
template <class O, class F>
void each_number(O& op, const F& f) {
  f("flops", op.work.flops.value);
  f("flops_executed", op.work.flops_executed.value);
  f("weights_read", op.work.read.weights.value);
  f("kv_read", op.work.read.kv.value);
  f("activations_read", op.work.read.activations.value);
  f("weights_written", op.work.written.weights.value);
  f("kv_written", op.work.written.kv.value);
  f("activations_written", op.work.written.activations.value);
  f("reread", op.work.reread.value);
  f("l2_to_sm", op.work.l2_to_sm.value);
  f("exps", op.work.exps);
  f("fp32", op.work.fp32.value);
  f("smem", op.work.smem.value);
  f("ctas", op.work.ctas);
  f("launches", op.work.launches);
  f("handed_over", op.handed_over.value);
  f("overlap", op.execution.pipe_overlap);
  f("sm_cycles", op.execution.sm_cycles);
  f("kept_read", op.kept.read.value);
  f("kept_written", op.kept.written.value);
  f("sm_cycles", op.execution.sm_cycles);
}

std::optional<std::string_view> value_of(std::string_view text, std::string_view key) {
  const std::string start = std::string(key) + "=";
  std::size_t at = text.starts_with(start) ? 0 : text.find(" " + start);
  if (at == std::string_view::npos) return std::nullopt;
  at = text.find('=', at) + 1;
  return text.substr(at, text.find(' ', at) - at);
}

/// The enumerator of that name among 0 .. count - 1.
template <class E>
E named(std::string_view text, std::string_view key, int count) {
  const auto value = value_of(text, key);
  for (int i = 0; value && i < count; ++i)
    if (name(static_cast<E>(i)) == *value) return static_cast<E>(i);
  throw UserError(fmt::format("record: row 'work': no {} in '{}'", key, text));
}

}  // namespace

std::string op_text(const Op& op) {
  std::string text =
      fmt::format("class={} math={} ctas_per_sm={} mma_sync={}", name(op.op_class), name(op.math),
                  op.execution.ctas_per_sm, static_cast<int>(op.execution.mma_sync));
  each_number(op, [&](const char* key, double value) {
    if (value != 0) text += fmt::format(" {}={}", key, value);
  });
  return text;
}

Op read_op(std::string_view text) {
  Op op{.op_class = named<OpClass>(text, "class", kNumOpClasses),
        .math = named<MathType>(text, "math", kNumMathTypes)};
  const auto number = [&](const char* key) {
    return to_number(value_of(text, key).value_or("0")).value_or(0);
  };
  op.execution.ctas_per_sm = static_cast<int>(number("ctas_per_sm"));
  op.execution.mma_sync = number("mma_sync") != 0;
  each_number(op, [&](const char* key, double& value) { value = number(key); });
  return op;
}

std::vector<TimedShape> read_timed_shapes(const std::vector<std::string>& files) {
  std::vector<TimedShape> shapes;
  for (const std::string& file : files) {
    const Csv csv = read_csv(file);
    if (!csv.has({"part", "name", "args", "quantity", "measured", "note"}))
      throw UserError(file + ": expected a record of kvroof-probe validate");
    const auto cell = [&](const CsvRow& row, const char* column) -> const std::string& {
      return row.cells[static_cast<std::size_t>(csv.column({column}))];
    };
    for (const CsvRow& row : csv.rows) {
      const std::string &kernel = cell(row, "name"), &args = cell(row, "args");
      if (cell(row, "part") == "work") {
        if (shapes.empty() || shapes.back().kernel != kernel || shapes.back().args != args)
          shapes.push_back({kernel, args, {}, {}});
        shapes.back().stages.push_back(read_op(cell(row, "note")));
      } else if (cell(row, "part") == "kernel" && cell(row, "quantity") == "time") {
        const auto seconds = to_number(cell(row, "measured"));
        if (seconds && !shapes.empty() && shapes.back().kernel == kernel &&
            shapes.back().args == args)
          shapes.back().measured = Seconds{*seconds};
      }
    }
  }
  std::erase_if(shapes, [](const TimedShape& s) { return s.measured <= Seconds{}; });
  return shapes;
}

}  // namespace kvroof::probe
