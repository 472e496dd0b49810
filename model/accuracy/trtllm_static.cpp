// TensorRT-LLM's performance pages v0.5 to v0.9: fixed batches of fixed lengths
// (gptSessionBenchmark) and the first token of a batch of one.
#include <fmt/format.h>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/past_engines.hpp"
#include "model/accuracy/published.hpp"
#include "model/accuracy/service_run.hpp"

namespace kvroof::accuracy {
namespace {

std::vector<Read> read(const Csv& csv) {
  return read_published(csv, [](Measurement& m) -> std::string {
    m.engine = "TensorRT-LLM";
    m.engine_version = m.words["source"].substr(m.words["source"].rfind(' ') + 1);
    m.mode = Mode::static_batch;
    m.configuration = fmt::format("{}|{}|{}|{}", deployment(m), m.concurrency, m.isl, m.osl);
    if (!(m.concurrency > 0 && m.isl > 0 && m.osl > 0)) return "no batch or lengths";
    if (m.metric != "ttft" && m.metric != "output_tok_s" && m.metric != "output_tok_s_per_gpu")
      return "metric " + m.metric + " is not one of this benchmark";
    return {};
  });
}

/// tokens/s = B·osl / (prefill + (osl − 1)·step): the batch leaves together.
std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  return answer_each(rows, [&](const Measurement& m) {
    const Setup s =
        early_trtllm(without_windows(executor(setup_of(context, m), *context.machine(m.hardware))),
                     version_number(m.engine_version));
    const BatchTimes t = static_batch(s, m.concurrency, m.isl, m.osl);
    if (m.metric == "ttft") return t.prefill.value;
    const double rate = m.concurrency * m.osl / t.whole.value;
    return m.metric == "output_tok_s" ? rate : rate / s.policy.parallel.gpus();
  });
}

}  // namespace

FileFormat trtllm_static_format() {
  return {"TensorRT-LLM static batches",
          [](const Csv& csv) { return is_published(csv, "TensorRT-LLM perf docs"); }, read,
          predict};
}

}  // namespace kvroof::accuracy
