// DistServe's latency fits (arXiv:2401.09670): prefill t = a + b·Σn + c·Σn², decode
// t = a + b·Σcontext + c·batch. The slopes are read off the model where the fits were made; an
// intercept is what the regression leaves over and says little of any one run.
#include <fmt/format.h>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/past_engines.hpp"
#include "model/accuracy/published.hpp"
#include "model/accuracy/service_run.hpp"

namespace kvroof::accuracy {
namespace {

std::vector<Read> read(const Csv& csv) {
  return read_published(csv, [](Measurement& m) -> std::string {
    m.engine = mentions(m.words["source"], "vllm") ? "vLLM" : "DistServe";
    m.engine_version = "2023";
    m.mode = Mode::static_batch;
    m.configuration = deployment(m);
    for (std::string_view known :
         {"prefill_fit_", "decoding_smallbs_fit_", "decoding_largebs_fit_"})
      if (m.metric.starts_with(known)) return {};
    return "metric " + m.metric + " is not one of these fits";
  });
}

Seconds prefill(Setup s, double prompt) { return static_batch(s, 1, prompt, 1).prefill; }

Seconds step(Setup s, double batch, double context) {
  return static_batch(s, batch, context, 1).step;
}

/// Quadratic through three prompt lengths of the profiled range, a plane through three batches.
std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  return answer_each(rows, [&](const Measurement& m) {
    const Setup s = eager(unfitted(setup_of(context, m), *context.machine(m.hardware)));
    const char which = m.metric.back();
    if (m.metric.starts_with("prefill")) {
      const double n0 = 128, n1 = 512, n2 = 1024;
      const double t0 = prefill(s, n0).value, t1 = prefill(s, n1).value, t2 = prefill(s, n2).value;
      const double first = (t1 - t0) / (n1 - n0), second = (t2 - t1) / (n2 - n1);
      const double c = (second - first) / (n2 - n0), b = first - c * (n0 + n1);
      return which == 'c' ? c : which == 'b' ? b : t0 - b * n0 - c * n0 * n0;
    }
    const bool small = m.metric.find("small") != std::string::npos;
    const double b0 = small ? 16 : 128, b1 = small ? 64 : 256, s0 = 256, s1 = 768;
    const double base = step(s, b0, s0).value;
    const double b = (step(s, b0, s1).value - base) / (b0 * (s1 - s0));
    const double c = (step(s, b1, s0).value - base) / (b1 - b0) - b * s0;
    return which == 'b' ? b : which == 'c' ? c : base - b * b0 * s0 - c * b0;
  });
}

}  // namespace

FileFormat distserve_format() {
  return {"DistServe fits", [](const Csv& csv) { return is_published(csv, "DistServe"); }, read,
          predict};
}

}  // namespace kvroof::accuracy
