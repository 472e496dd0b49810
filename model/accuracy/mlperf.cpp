// MLPerf Inference, closed division: Offline (all samples queued), Server and Interactive (Poisson
// arrivals at a target rate). The length distributions of the data sets are not in the results:
// outputs follow from tokens per sample where a row states both, inputs are the means named below.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/past_engines.hpp"
#include "model/accuracy/published.hpp"
#include "model/accuracy/service_run.hpp"

namespace kvroof::accuracy {
namespace {

/// Mean tokens of a sample. Outputs: tokens/s over samples/s of published rows. Inputs: OpenOrca
/// and reasoning assumed; articles 781 words at 1.3 (GPT-2) or 1.17 (Llama-3) tokens and the
/// instruction; the mixture with few-shot GSM8K from the H100 rows, checked on H200 and GH200.
struct DataSet {
  std::string_view llm;
  double isl, osl;
  double beams;
  std::string_view name;
};
constexpr std::array<DataSet, 6> kDataSets{{{"Llama-2-70B", 250, 290, 1, "OpenOrca"},
                                            {"Mixtral-8x7B", 450, 146, 1, "OpenOrca+GSM8K+MBXP"},
                                            {"Llama-3.1-405B", 9400, 654, 1, "LongBench"},
                                            {"Llama-3.1-8B", 940, 128, 1, "CNN/DailyMail"},
                                            {"GPT-J-6B", 1030, 70, 4, "CNN/DailyMail"},
                                            {"DeepSeek-R1", 800, 3680, 1, "reasoning"}}};

const DataSet* data_set(std::string_view llm) {
  for (const DataSet& d : kDataSets)
    if (llm == d.llm) return &d;
  return nullptr;
}

std::vector<Read> read(const Csv& csv) {
  return read_published(csv, [](Measurement& m) -> std::string {
    const std::string& note = m.words["note"];
    m.engine = mentions(note, "vLLM") ? "vLLM" : "TensorRT-LLM";
    m.engine_version = m.words["source"].substr(m.words["source"].rfind(' ') + 1);
    const bool offline = mentions(note, "scenario Offline");
    m.mode = offline ? Mode::offline : Mode::open_loop;
    m.request_rate = offline ? 0 : number_after(m.words["batch"], "QPS=", 0);
    m.more["max_batch"] = number_after(note, "max_batch", number_after(note, "max batch", 0));
    const DataSet* d = data_set(m.llm);
    if (!d) return "no length statistics of the data set of " + m.llm;
    m.isl = d->isl, m.osl = d->osl, m.more["beams"] = d->beams;
    m.configuration = fmt::format("{}|{}|{}|{}|{}", deployment(m), m.num_gpus, m.request_rate,
                                  offline, m.more["max_batch"]);
    if (m.num_gpus < 1) return "number of GPUs not stated";
    if (!offline && !(m.request_rate > 0)) return "no request rate";
    return {};
  });
}

/// The system metadata of v4.1 name FP16 where the engines ran FP8: no submitter leaves the factor
/// of two on a GPU that has the unit.
void set_formats(Measurement& m, const Machine& gpu) {
  if (m.weights == Dtype::fp16 && gpu.roof(MathType::fp8).peak > Throughput{})
    m.weights = gpu.roof(MathType::fp4).peak > Throughput{} && m.llm == "Llama-2-70B" ? Dtype::nvfp4
                                                                                      : Dtype::fp8;
  if (!m.kv) m.kv = gpu.roof(MathType::fp8).peak > Throughput{} ? Dtype::fp8 : Dtype::fp16;
}

/// One replica with its share of the samples; the others do the same beside it.
serving::Service replica_run(const Setup& given, const Measurement& m) {
  Setup s = given;
  const double replicas = m.num_gpus / static_cast<double>(s.policy.parallel.gpus());
  s.policy.max_num_seqs =
      m.more.at("max_batch") > 0 ? static_cast<int>(m.more.at("max_batch")) : 2048;
  s.policy.kv_cache_free_gpu_memory_fraction = 0.95;
  const double beams = m.more.at("beams");
  const bool offline = m.mode == Mode::offline;
  // Offline runs last ten minutes at least: enough samples that the drain does not matter.
  const double samples =
      offline ? 20000 : std::clamp(600 * m.request_rate / replicas, 200., 20000.);
  Run run{
      .traffic = {
          .requests = static_cast<std::int64_t>(samples),
          .rate = offline ? 0 : m.request_rate / replicas,
          .prompt = {.mean = m.isl},
          .output = {.shape = serving::LengthShape::exponential, .mean = m.osl, .max = 4 * m.osl}}};
  // Four beams decode as four requests that read one prompt's cache between them.
  if (beams > 1) {
    run.traffic.prompt.mean /= beams;
    run.traffic.requests = static_cast<std::int64_t>(beams * samples);
    run.traffic.rate *= beams;
  }
  return run_service(s, run);
}

/// Where the cut is not stated: the one whose replicas together do most, among those that fit.
Setup best_cut(Context& context, Measurement m) {
  Setup best;
  double most = 0;
  std::string why;
  for (int tp = 1; tp <= std::min(8, m.num_gpus); tp *= 2) try {
      if (m.num_gpus % tp != 0) continue;
      m.pool.tp = tp;
      const Setup s = setup_of(context, m);
      Setup probe = s;
      probe.point = {.batch = 1, .prompt = m.isl, .output = m.osl};
      const MemoryFit fit = memory_fit(s.llm, s.policy, s.engine, s.machine,
                                       {.requests = 1, .tokens_per_request = m.isl + m.osl});
      if (!fit.fits) {
        why = fit.reason;
        continue;
      }
      probe.point.batch = std::clamp(fit.max_concurrency, 1.0, 2048.0);
      const Prediction p = predict(probe);
      const double rate = p.output_rate.value / tp;
      if (rate > most) most = rate, best = s;
    } catch (const std::exception& e) {
      why = e.what();
    }
  if (most <= 0) throw std::runtime_error(why.empty() ? "no cut of the network fits" : why);
  return best;
}

std::vector<Answer> predict_rows(Context& context, std::span<const Measurement> rows) {
  Once<serving::Service> runs;
  return answer_each(rows, [&](Measurement m) {
    const Machine* gpu = context.machine(m.hardware);
    if (!gpu) throw std::runtime_error("no hardware profile for " + m.hardware);
    set_formats(m, *gpu);
    // Expert parallelism over a whole machine goes with attention replicas (max_batch is a rank's).
    if (m.llm.starts_with("DeepSeek") && m.num_gpus >= 8)
      m.pool = {.tp = 1, .dp = 8, .expert = true};
    const bool stated = mentions(m.words.at("note"), "config:") || m.pool.dp > 1;
    double replicas = 1;
    const serving::Service& r = runs(m.configuration, [&] {
      Setup s = stated ? setup_of(context, m) : best_cut(context, m);
      if (m.engine != "vllm") s = executor(s, *gpu);
      serving::Service out = replica_run(s, m);
      replicas = m.num_gpus / static_cast<double>(s.policy.parallel.gpus());
      const double beams = m.more.at("beams");
      out.request_rate *= replicas / beams, out.output_rate *= replicas / beams;
      out.total_rate *= replicas / beams;
      return out;
    });
    const bool latency = m.metric.starts_with("ttft") || m.metric.starts_with("tpot");
    if (latency && m.mode == Mode::offline)
      throw std::runtime_error("latencies of an offline run depend on the order of its samples");
    if (latency && r.verdict != serving::Verdict::stable)
      throw std::runtime_error("the offered rate is the predicted capacity: no steady latency");
    return service_metric(r, m);
  });
}

}  // namespace

FileFormat mlperf_format() {
  return {"MLPerf Inference", [](const Csv& csv) { return is_published(csv, "MLPerf"); }, read,
          predict_rows};
}

}  // namespace kvroof::accuracy
