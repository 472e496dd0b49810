// TensorRT-LLM's performance pages from v0.10: in-flight batching with every request queued at
// once, so that the batch is what the cache and the engine's limit allow.
#include <fmt/format.h>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/past_engines.hpp"
#include "model/accuracy/published.hpp"
#include "model/accuracy/service_run.hpp"
#include "model/llm_counts.hpp"

namespace kvroof::accuracy {
namespace {

/// Requests of each run as the pages list them; lengths they do not list get the middle of it.
std::int64_t requests_of(double isl, double osl) {
  struct Row {
    double isl, osl;
    std::int64_t requests;
  };
  constexpr Row kRows[] = {
      {128, 128, 30000},  {128, 2048, 3000},   {128, 4096, 1500},   {2048, 128, 3000},
      {2048, 2048, 1500}, {5000, 500, 1500},   {1000, 1000, 3000},  {500, 2000, 3000},
      {1000, 2000, 3000}, {20000, 2000, 1000}, {1024, 1024, 3000},  {8192, 1024, 1500},
      {1024, 8192, 1500}, {32768, 1024, 1000}, {1024, 32768, 1000}, {100000, 1024, 300}};
  for (const Row& r : kRows)
    if (r.isl == isl && r.osl == osl) return r.requests;
  return isl + osl < 1000 ? 30000 : 1500;
}

std::vector<Read> read(const Csv& csv) {
  return read_published(csv, [](Measurement& m) -> std::string {
    m.engine = "TensorRT-LLM";
    m.engine_version = m.words["source"].substr(m.words["source"].rfind(' ') + 1);
    m.mode = Mode::offline;
    const double dp = number_after(m.words["note"], "attention DP", 0);
    if (dp > 1) m.pool.dp = static_cast<int>(dp);
    // v1.0 ran its mixture-of-experts networks with attention data parallelism throughout.
    if (mentions(m.words["note"], "attention-DP enabled for MoE")) m.more["moe_attention_dp"] = 1;
    m.configuration = fmt::format("{}|{}|{}", deployment(m), m.isl, m.osl);
    if (!(m.isl > 0 && m.osl > 0)) return "no lengths";
    if (m.metric != "output_tok_s" && m.metric != "output_tok_s_per_gpu")
      return "metric " + m.metric + " is not one of this benchmark";
    return {};
  });
}

std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  Once<double> rates;
  return answer_each(rows, [&](Measurement m) {
    const LlmShape* llm = context.llm(m.llm);
    if (m.more.contains("moe_attention_dp") && llm && has_experts(*llm)) {
      m.pool.dp = m.pool.tp, m.pool.tp = 1;
      m.pool.expert = m.pool.dp > 1;
    }
    Setup s =
        early_trtllm(without_windows(executor(setup_of(context, m), *context.machine(m.hardware))),
                     version_number(m.engine_version));
    // One GH200 sits alone in its server: two of them talk over the network. Boards of four have
    // NVLink among them.
    if (mentions(m.hardware, "GH200") && m.pool.tp == 2) s.machine.nvlink = s.machine.nic;
    const double rate = rates(m.configuration, [&] {
      s.policy.kv_cache_free_gpu_memory_fraction = 0.95;  // "in the majority of cases"
      s.policy.max_num_seqs = 4096;                       // the batch of the pages' example run
      return run_service(s, {.traffic = {.requests = requests_of(m.isl, m.osl),
                                         .prompt = {.mean = m.isl},
                                         .output = {.mean = m.osl}},
                             .reserve = true})
          .output_rate;
    });
    return m.metric == "output_tok_s" ? rate : rate / s.policy.parallel.gpus();
  });
}

}  // namespace

FileFormat trtllm_offline_format() {
  return {"TensorRT-LLM in-flight batching at unlimited rate",
          [](const Csv& csv) { return is_published(csv, "TensorRT-LLM perf-overview"); }, read,
          predict};
}

}  // namespace kvroof::accuracy
