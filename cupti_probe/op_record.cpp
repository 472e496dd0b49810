#include "cupti_probe/op_record.hpp"

#include <fmt/core.h>

#include <optional>

#include "model/csv.hpp"
#include "model/user_error.hpp"

namespace kvroof::probe {
namespace {

/// f(key, number, usual) for every number of an op, by reference; records leave out what is usual.
template <class O, class F>
void each_number(O& op, const F& f) {
  f("flops", op.work.flops.value, 0);
  f("flops_executed", op.work.flops_executed.value, 0);
  f("weights_read", op.work.read.weights.value, 0);
  f("kv_read", op.work.read.kv.value, 0);
  f("activations_read", op.work.read.activations.value, 0);
  f("weights_written", op.work.written.weights.value, 0);
  f("kv_written", op.work.written.kv.value, 0);
  f("activations_written", op.work.written.activations.value, 0);
  f("reread", op.work.reread.value, 0);
  f("l2_to_sm", op.work.l2_to_sm.value, 0);
  f("multicast", op.work.multicast.value, 0);
  f("l2_added", op.work.l2_added.value, 0);
  f("exps", op.work.exps, 0);
  f("fp32", op.work.fp32.value, 0);
  f("smem", op.work.smem.value, 0);
  f("ctas", op.work.ctas, 0);
  f("launches", op.work.launches, 0);
  f("handed_over", op.handed_over.value, 0);
  f("overlap", op.execution.pipe_overlap, 0);
  f("sm_cycles", op.execution.sm_cycles, 0);
  f("fill_cycles", op.execution.fill_cycles, 0);
  f("tensor_busy", op.execution.tensor_busy, 1);
  f("kept_read", op.kept.read.value, 0);
  f("kept_written", op.kept.written.value, 0);
  f("longest", op.execution.longest, 1);
  f("count", op.count, 1);
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
      fmt::format("class={} math={} ctas_per_sm={} mma_sync={} longest_first={}", name(op.op_class),
                  name(op.math), op.execution.ctas_per_sm, static_cast<int>(op.execution.mma_sync),
                  static_cast<int>(op.execution.longest_first));
  each_number(op, [&](const char* key, double value, double usual) {
    if (value != usual) text += fmt::format(" {}={}", key, value);
  });
  return text;
}

Op read_op(std::string_view text) {
  Op op{.op_class = named<OpClass>(text, "class", kNumOpClasses),
        .math = named<MathType>(text, "math", kNumMathTypes)};
  const auto number = [&](const char* key, double usual = 0) {
    const auto value = value_of(text, key);
    return value ? to_number(*value).value_or(usual) : usual;
  };
  op.execution.ctas_per_sm = static_cast<int>(number("ctas_per_sm"));
  op.execution.mma_sync = number("mma_sync") != 0;
  op.execution.longest_first = number("longest_first") != 0;
  each_number(op,
              [&](const char* key, double& value, double usual) { value = number(key, usual); });
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
            shapes.back().args == args) {
          shapes.back().measured = Seconds{*seconds};
          if (csv.has({"sm_clock_hz"}))
            shapes.back().sm_clock = Clock{to_number(cell(row, "sm_clock_hz")).value_or(0)};
        }
      }
    }
  }
  std::erase_if(shapes, [](const TimedShape& s) { return s.measured <= Seconds{}; });
  return shapes;
}

}  // namespace kvroof::probe
