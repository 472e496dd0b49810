// Argonne's LLM-Inference-Bench (arXiv:2411.00136): whole-batch latency of equal prompts and
// outputs, several engines.
#include <fmt/format.h>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/past_engines.hpp"
#include "model/accuracy/published.hpp"
#include "model/accuracy/service_run.hpp"

namespace kvroof::accuracy {
namespace {

std::vector<Read> read(const Csv& csv) {
  return read_published(csv, [](Measurement& m) -> std::string {
    const std::string& source = m.words["source"];
    m.engine = source.substr(source.rfind(", ") == std::string::npos ? 0 : source.rfind(", ") + 2);
    m.mode = Mode::static_batch;
    m.configuration = fmt::format("{}|{}|{}|{}", deployment(m), m.concurrency, m.isl, m.osl);
    if (!(m.concurrency > 0 && m.isl > 0 && m.osl > 0)) return "no batch or lengths";
    if (mentions(m.words["note"], "speculative decoding draft"))
      return "speculative decoding without the accepted length";
    if (m.metric != "e2e" && m.metric != "ttft_batch")
      return "metric " + m.metric + " is not one of this benchmark";
    return {};
  });
}

std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  return answer_each(rows, [&](const Measurement& m) {
    Setup s = unfitted(setup_of(context, m), *context.machine(m.hardware));
    const double block = number_after(m.words.at("note"), "block size", 0);
    if (block >= 1) s.policy.block_size = static_cast<int>(block);
    if (m.isl + m.osl > s.llm.max_positions && s.llm.max_positions > 0)
      throw std::runtime_error("prompt and output exceed the network's positions");
    if (m.engine == "vllm") s = python_scheduler(s);
    if (mentions(m.engine, "MII")) s = ungraphed(s);
    if (m.engine == "trtllm") s = without_windows(s);
    const BatchTimes t = static_batch(s, m.concurrency, m.isl, m.osl);
    if (m.value < t.floor.value)
      throw std::runtime_error("the measured time is below the speed of light");
    return m.metric == "e2e" ? t.whole.value : t.prefill.value;
  });
}

}  // namespace

FileFormat argonne_format() {
  return {"LLM-Inference-Bench", [](const Csv& csv) { return is_published(csv, "Argonne"); }, read,
          predict};
}

}  // namespace kvroof::accuracy
