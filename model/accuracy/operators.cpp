// Operator tables of engines (ai-dynamo/aiconfigurator): latencies of single kernels in
// milliseconds. Each row becomes the op the model would run there, and the law its time.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/nccl.hpp"
#include "model/accuracy/operator_row.hpp"
#include "model/accuracy/past_engines.hpp"
#include "model/accuracy/published.hpp"

namespace kvroof::accuracy {
namespace {

struct Column {
  std::string_view name, operation;
  double unit;
};
/// Tables with two latencies a row give two measurements.
constexpr Column kColumns[] = {{"latency", "", milli},
                               {"dispatch_avg_t_us", "dispatch", micro},
                               {"combine_avg_t_us", "combine", micro},
                               {"dispatch_transmit_us", "dispatch", micro},
                               {"combine_transmit_us", "combine", micro}};

std::vector<Read> read(const Csv& csv) {
  std::vector<Read> out;
  const OperatorTable table = operator_table(csv);
  for (const CsvRow& cells : csv.rows)
    for (const Column& column : kColumns) {
      if (csv.column({column.name}) < 0) continue;
      Measurement m;
      m.line = cells.line;
      m.mode = Mode::kernel;
      m.metric = "latency";
      if (cells.cells.size() != csv.header.size()) {
        out.push_back(Refusal{m, fmt::format("expected {} cells", csv.header.size())});
        continue;
      }
      lint_rows::Row r(csv, cells);
      m.hardware = r.text({"device"});
      m.engine = r.text({"framework"});
      if (const std::string known = engine_of(m.engine); known != "generic") m.engine = known;
      m.engine_version = r.text({"version"});
      const OperatorRow row = operator_row(r, table, column.operation);
      m.llm = row.group();
      m.words["row"] = row.packed();
      m.configuration = m.hardware + m.words["row"];
      m.value = r.number_or(column.name, 0) * column.unit;
      if (!row.problem.empty()) out.push_back(Refusal{m, row.problem});
      else if (!(m.value > 0)) out.push_back(Refusal{m, "the latency is not above zero"});
      else out.emplace_back(std::move(m));
    }
  return out;
}

std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  std::string last;
  const Machine* gpu = nullptr;
  return answer_each(rows, [&](const Measurement& m) {
    if (m.hardware != last || !gpu) gpu = context.machine(m.hardware), last = m.hardware;
    if (!gpu) throw std::runtime_error("no hardware profile for " + m.hardware);
    return operator_time(unpacked(m.words.at("row")), with_narrow_formats(*gpu)).value;
  });
}

}  // namespace

FileFormat operator_format() {
  return {"operator tables",
          [](const Csv& csv) { return operator_table(csv) != OperatorTable::none; }, read, predict};
}

}  // namespace kvroof::accuracy
