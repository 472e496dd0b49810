// TensorRT-LLM behind Triton, v0.14: 500 requests at a rate, or all at once.
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
    m.engine_version = "v0.14";
    const std::string& batch = m.words["batch"];
    const bool unlimited = mentions(batch, "inf");
    m.request_rate = unlimited ? 0 : number_after(batch, "QPS=", 0);
    m.mode = unlimited ? Mode::offline : Mode::open_loop;
    if (m.metric == "itl_mean") m.metric = "tpot";  // one token a step: no speculation here
    m.more["requests"] = number_after(m.words["note"], "", 500);
    m.configuration = fmt::format("{}|{}|{}|{}", deployment(m), m.isl, m.osl, batch);
    if (!unlimited && !(m.request_rate > 0)) return "no request rate";
    if (!(m.isl > 0 && m.osl > 0)) return "no lengths";
    return {};
  });
}

std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  Once<serving::Service> runs;
  return answer_each(rows, [&](const Measurement& m) {
    const Setup s = executor(setup_of(context, m), *context.machine(m.hardware));
    const serving::Service& r = runs(m.configuration, [&] {
      return run_service(s,
                         {.traffic = {.requests = static_cast<std::int64_t>(m.more.at("requests")),
                                      .rate = m.request_rate,
                                      .prompt = {.mean = m.isl},
                                      .output = {.mean = m.osl}},
                          .reserve = true});
    });
    return service_metric(r, m);
  });
}

}  // namespace

FileFormat trtllm_online_format() {
  return {"TensorRT-LLM online serving",
          [](const Csv& csv) { return is_published(csv, "online serving"); }, read, predict};
}

}  // namespace kvroof::accuracy
