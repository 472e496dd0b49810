// SplitwiseSim's measured table (ISCA'24): prompt and token times of static batches on vLLM of
// 2023, which launched its kernels one by one.
#include <fmt/format.h>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/past_engines.hpp"
#include "model/accuracy/published.hpp"
#include "model/accuracy/service_run.hpp"

namespace kvroof::accuracy {
namespace {

std::vector<Read> read(const Csv& csv) {
  return read_published(csv, [](Measurement& m) -> std::string {
    m.engine = "vLLM", m.engine_version = "2023";
    m.mode = Mode::static_batch;
    m.configuration = fmt::format("{}|{}|{}|{}", deployment(m), m.concurrency, m.isl, m.osl);
    if (m.metric == "prefill_time") m.metric = "ttft";
    if (!(m.concurrency > 0 && m.isl > 0 && m.osl > 0)) return "no batch or lengths";
    // Where the repeats of an end-to-end time lie far apart the texts ended at different lengths.
    const std::string& note = m.words["note"];
    if (m.metric == "e2e" && number_after(note, "max", 0) > 2 * number_after(note, "min", 0))
      return "its repeats differ by more than a factor of two";
    if (m.metric != "ttft" && m.metric != "tpot" && m.metric != "e2e")
      return "metric " + m.metric + " is not one of this benchmark";
    return {};
  });
}

std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  return answer_each(rows, [&](const Measurement& m) {
    const BatchTimes t =
        static_batch(eager(unfitted(setup_of(context, m), *context.machine(m.hardware))),
                     m.concurrency, m.isl, m.osl);
    return m.metric == "ttft" ? t.prefill.value : m.metric == "tpot" ? t.step.value : t.whole.value;
  });
}

}  // namespace

FileFormat splitwise_format() {
  return {"Splitwise static batches", [](const Csv& csv) { return is_published(csv, "Splitwise"); },
          read, predict};
}

}  // namespace kvroof::accuracy
