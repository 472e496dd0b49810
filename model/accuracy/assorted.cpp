// Everything else with the published columns: figures of blogs, READMEs and studies. A row is
// answered when it states enough of a run; the others say what is missing.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/past_engines.hpp"
#include "model/accuracy/published.hpp"
#include "model/accuracy/service_run.hpp"
#include "model/llm_counts.hpp"

namespace kvroof::accuracy {
namespace {

enum class Kind { batch_of_one, static_batch, largest_batch, service };

std::string engine_in(const Measurement& m) {
  const std::string &note = m.words.at("note"), &source = m.words.at("source");
  for (std::string_view engine : {"vLLM", "SGLang", "TensorRT-LLM", "TRT-LLM"})
    if (mentions(note, engine)) return std::string(engine);
  for (std::string_view engine : {"vLLM buildkite", "TensorRT-LLM"})
    if (mentions(source, engine)) return engine == "TensorRT-LLM" ? "TensorRT-LLM" : "vLLM";
  if (mentions(source, "NVIDIA blog")) return "TensorRT-LLM";
  if (mentions(source, "gpt-fast")) return "gpt-fast";
  if (mentions(note, "QServe")) return "QServe";
  const std::size_t last = note.rfind(", ");
  return last == std::string::npos ? "generic" : note.substr(last + 2);
}

/// "1K" -> 1024.
double tokens_of(const std::string& text) {
  if (const auto x = to_number(text)) return *x;
  if (text.ends_with("K"))
    if (const auto x = to_number(text.substr(0, text.size() - 1))) return 1024 * *x;
  return 0;
}

std::string finish(Measurement& m) {
  const std::string &note = m.words["note"], &batch = m.words["batch"];
  m.engine = engine_in(m);
  m.isl = tokens_of(m.words["isl"]), m.osl = tokens_of(m.words["osl"]);
  // Means of the ShareGPT prompts as the serving benchmarks of the same engines report them.
  if (mentions(m.words["isl"], "ShareGPT")) m.isl = 220, m.osl = 200, m.more["sharegpt"] = 1;
  if (m.words["isl"] == "short") m.isl = 32;
  m.more["accepted"] = number_after(note, "mean accepted length", 0);
  m.more["guesses"] = number_after(note, "MTP ", 0);
  const double dp = number_after(note, "dp-attention", 0);
  if (dp > 1) m.pool.dp = static_cast<int>(dp), m.pool.tp = 1, m.pool.expert = true;
  if (mentions(note, "attention DP") && m.num_gpus > 1)
    m.pool.dp = m.num_gpus, m.pool.tp = 1, m.pool.expert = true;
  m.configuration = fmt::format("{}|{}|{}|{}|{}", deployment(m), m.isl, m.osl, batch, note);

  for (std::string_view input : {"acceptance_length", "cache_hit_rate"})
    if (m.metric == input) return "an input of a prediction, not a result";
  if (m.metric == "cost_per_million_tokens") return "a price";
  if (m.num_gpus < 1 || mentions(note, "not stated;") || mentions(note, "parallelism not stated"))
    return "the deployment is not stated";
  if (mentions(note, "interpolated")) return "interpolated between measurements";
  if (m.num_gpus > 8 || mentions(note, "nodes")) return "a cut over several machines";
  if (mentions(note, "best TP/PP/DP mix")) return "the deployment is not stated";
  if (mentions(note, "speculative") || mentions(note, "speculation") || mentions(note, "Medusa"))
    return "speculative decoding without the accepted length";
  if (mentions(batch, "multi-turn")) return "the conversations' lengths are not stated";

  if (m.metric == "decode_tokens_per_s" || m.metric == "achieved_memory_bandwidth") {
    if (m.concurrency != 1) return "no batch stated";
    m.mode = Mode::static_batch, m.more["kind"] = static_cast<int>(Kind::batch_of_one);
    if (m.osl <= 0) m.osl = 200;  // gpt-fast's default
    if (m.isl <= 0) m.isl = 128;
    return {};
  }
  if (mentions(batch, "max fitting")) {
    m.mode = Mode::static_batch, m.more["kind"] = static_cast<int>(Kind::largest_batch);
    return m.metric == "output_tok_s" && m.isl > 0 ? "" : "metric " + m.metric;
  }
  const bool fixed = mentions(note, "static batch") || mentions(note, "fixed batch") ||
                     mentions(note, "at that batch");
  if (fixed && m.concurrency > 0 && m.isl > 0 && m.osl > 0) {
    m.mode = Mode::static_batch, m.more["kind"] = static_cast<int>(Kind::static_batch);
    for (std::string_view known : {"ttft", "e2e", "output_tok_s", "output_tok_s_per_gpu"})
      if (m.metric == known) return {};
    return "metric " + m.metric + " is not one of a fixed batch";
  }
  m.more["kind"] = static_cast<int>(Kind::service);
  if (!(m.isl > 0 && m.osl > 0)) return "no lengths";
  m.request_rate = number_after(batch, "rate ", 0);
  const std::size_t comma = batch.find(", ");
  m.more["requests"] = number_after(batch, "all ", 0);
  if (m.request_rate > 0 && comma != std::string::npos)
    m.more["requests"] = number_after(batch.substr(comma), ", ", 0);
  if (mentions(batch, "all at once")) m.more["requests"] = 200;
  if (mentions(batch, "max load")) m.more["requests"] = 1000;
  m.mode = m.request_rate > 0 ? Mode::open_loop : Mode::offline;
  if (m.concurrency > 0) {
    m.mode = Mode::closed_loop;
    m.more["requests"] = 4 * m.concurrency;
  }
  m.more["max_batch"] = number_after(note, "max_batch", 0);
  if (!(m.more["requests"] >= 1)) return "neither a batch nor a number of requests";
  return {};
}

/// A batch of one, with guesses of the network's own prediction layer where the row says so.
double tokens_per_second(Setup s, const Measurement& m) {
  const Seconds plain = static_batch(s, 1, m.isl, m.osl).step;
  const double accepted = m.more.at("accepted"), guesses = m.more.at("guesses");
  if (accepted <= 1 || guesses < 1) return 1 / plain.value;
  // Each guess is a pass through one more layer and the lm_head; then all are verified at once.
  const Lowering l = lower(s.llm, s.policy, s.machine);
  const double cached = m.isl + m.osl / 2;
  const Seconds one = phase(s, l, {{.requests = 1, .s_q = 1, .cached = cached}}).step.expected;
  const Seconds verify =
      phase(s, l, {{.requests = 1 + guesses, .s_q = 1, .cached = cached}}).step.expected;
  Setup draft = s;
  draft.llm.layers = {s.llm.layers.back()};
  draft.llm.layers[0].count = 1;
  const Lowering dl = lower(draft.llm, draft.policy, draft.machine);
  const Seconds pass =
      phase(draft, dl, {{.requests = 1, .s_q = 1, .cached = cached}}).step.expected;
  return accepted / (plain - one + verify + guesses * pass).value;
}

double service_value(const Setup& given, const Measurement& m, Once<serving::Service>& runs) {
  const serving::Service& r = runs(m.configuration, [&] {
    Setup s = given;
    if (m.more.at("max_batch") > 0)
      s.policy.max_num_seqs = static_cast<int>(m.more.at("max_batch"));
    const bool spread = m.more.contains("sharegpt");
    const auto shape = spread ? serving::LengthShape::exponential : serving::LengthShape::fixed;
    // "100 % prefix hit": every prompt but its last block is in the cache.
    const bool hit = mentions(m.words.at("note"), "100 % GPU prefix hit");
    return run_service(
        s, {.traffic = {.requests = static_cast<std::int64_t>(m.more.at("requests")),
                        .rate = m.request_rate,
                        .prompt = {.shape = shape, .mean = hit ? 16 : m.isl, .max = 1024 + m.isl},
                        .output = {.shape = shape, .mean = m.osl, .max = 1024 + m.osl}},
            .concurrency = static_cast<std::int64_t>(m.concurrency)});
  });
  Measurement asked = m;
  if (asked.metric.starts_with("itl")) asked.metric.replace(0, 3, "tpot");
  return service_metric(r, asked);
}

std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  Once<serving::Service> runs;
  return answer_each(rows, [&](const Measurement& m) {
    Setup s = setup_of(context, m);
    // Pages of 2023 and 2024, and loops that serve nobody.
    const bool serving = m.engine == "vllm" || m.engine == "sglang";
    if (!serving || mentions(m.words.at("source"), "(2024") ||
        mentions(m.words.at("source"), "buildkite"))
      s = unfitted(s, *context.machine(m.hardware));
    for (std::string_view loop : {"transformers", "PyTorch Lightning", "AutoAWQ"})
      if (m.engine == loop) s = eager(s);
    if (mentions(m.words.at("source"), "(2024") && m.engine == "vllm") s = python_scheduler(s);
    if (m.engine == "DeepSpeed-MII") s = ungraphed(s);
    if (m.engine == "trtllm") s = executor(s, *context.machine(m.hardware));
    const int gpus = s.policy.parallel.gpus();
    switch (static_cast<Kind>(static_cast<int>(m.more.at("kind")))) {
      case Kind::batch_of_one: {
        const double rate = tokens_per_second(s, m);
        if (m.metric == "decode_tokens_per_s") return rate;
        return rate * weight_bytes_per_gpu(s.llm, s.policy).value;
      }
      case Kind::largest_batch:
      case Kind::static_batch: {
        double batch = m.concurrency;
        if (batch <= 0)
          batch = std::max(
              1.0, std::floor(memory_fit(s.llm, s.policy, s.engine, s.machine,
                                         {.requests = 1, .tokens_per_request = m.isl + m.osl})
                                  .max_concurrency));
        const BatchTimes t = static_batch(s, batch, m.isl, m.osl);
        if (m.metric == "ttft") return t.prefill.value;
        if (m.metric == "e2e") return t.whole.value;
        const double rate = batch * m.osl / t.whole.value;
        return m.metric == "output_tok_s" ? rate : rate / gpus;
      }
      case Kind::service:
        break;
    }
    return service_value(s, m, runs);
  });
}

}  // namespace

FileFormat assorted_format() {
  return {"published figures", [](const Csv& csv) { return is_published(csv, ""); },
          [](const Csv& csv) { return read_published(csv, finish); }, predict, true};
}

}  // namespace kvroof::accuracy
