// inference_engines_silicon.csv: mean TTFT and TPOT of vLLM, SGLang and TensorRT-LLM, aggregated
// and disaggregated, collected by ai-dynamo/aiconfigurator (Apache-2.0)
// from public nightly benchmarks.
#include <charconv>
#include <cmath>

#include "model/accuracy/format.hpp"
#include "model/accuracy/silicon_row.hpp"

namespace kvroof::accuracy {
namespace {

/// Cells by column name; a short row gives empty cells.
class Cells {
 public:
  Cells(const Csv& csv, const CsvRow& row) : csv_(csv), row_(row) {}
  std::string text(std::string_view name) const {
    const int c = csv_.column({name});
    return c >= 0 && static_cast<std::size_t>(c) < row_.cells.size()
               ? row_.cells[static_cast<std::size_t>(c)]
               : std::string();
  }
  std::optional<double> number(std::string_view name) const { return to_number(text(name)); }
  /// Empty and 0 mean 1: no such parallelism.
  int ways(std::string_view name) const {
    const double n = number(name).value_or(1);
    return n >= 1 && n < 1e6 ? static_cast<int>(n) : 1;
  }

 private:
  const Csv& csv_;
  const CsvRow& row_;
};

/// The number after `key=` in the source field.
std::optional<double> tagged_number(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + key.size());
  return to_number(text.substr(0, text.find_first_not_of("0123456789.")));
}

/// What the public harness behind most rows fixes and the columns do not say. InferenceX (formerly
/// InferenceMAX), benchmarks/*.sh: lengths are uniform in [0.8, 1] of the nominal ones, 10 prompts
/// for each in flight; TensorRT-LLM's token budget holds one prompt beside the decodes. Rows of
/// other collections have fixed lengths and default budgets.
void add_harness(Measurement& m, const std::string& source) {
  const bool snapshot = source.starts_with("source_file=20");  // one day's results, by its date
  if (source.find("gap-analysis/data") != std::string::npos) {
    // A client of its own, which builds each prompt's text: what TTFT of its vLLM, SGLang and
    // TensorRT-LLM rows alike has beyond that of the other harness, medians of half of them.
    m.more["client_latency"] = 30e-3, m.more["client_per_token"] = 20e-6;
  }
  if (!snapshot && !source.starts_with("db-dump")) return;
  m.more["shortest"] = 0.8;
  if (m.engine == "trtllm") m.more["one_prompt_per_step"] = 1;
  // The scripts let SGLang look for requests every 10 steps, every 30 from 16 requests on, and
  // TensorRT-LLM answer every 10 steps.
  const bool latent = m.llm.find("DeepSeek") != std::string::npos;
  const bool blackwell = m.hardware.find('b') == 0;
  if (m.engine == "sglang" && latent && blackwell)
    m.more["poll_steps"] = m.concurrency < 16 ? 10 : 30;
  if (m.engine == "trtllm" && (latent || m.llm.find("gpt-oss") != std::string::npos))
    m.more["answer_steps"] = 10;
  // perf-changelog.yaml, pull requests 594, 620, 632, 642: with DeepSeek on TensorRT-LLM these
  // images were left to the configurations with multi-token prediction; those without had moved on.
  // MTP predicts 3 tokens, 1 with attention data parallelism. nvidia-master.yaml lists no MTP for
  // NVFP4 with experts spread over 4 GPUs and few requests.
  const bool mtp_image =
      m.engine_version == "1.1.0rc2.post2" || m.engine_version == "1.2.0rc6.post3";
  const bool plain_layout = m.weights == Dtype::nvfp4 && m.pool.expert && m.pool.dp == 1 &&
                            m.pool.tp == 4 && m.concurrency < 32 && m.isl >= 8192;
  if (snapshot && m.engine == "trtllm" && m.llm.find("DeepSeek") != std::string::npos &&
      m.mode == Mode::closed_loop && mtp_image && !plain_layout)
    m.more["mtp"] = m.pool.dp > 1 ? 1 : 3;
}

Measurement common(const Cells& c, int line) {
  Measurement m;
  m.line = line;
  m.more["engines_table"] = 1;
  m.hardware = c.text("system"), m.engine = c.text("backend");
  m.engine_version = c.text("backend_version"), m.llm = c.text("model_path");
  const std::string precision = c.text("precision"), gemm = c.text("gemm_quant_mode");
  m.weights = format_of(gemm.empty() ? precision : gemm);
  if (!m.weights) m.weights = Dtype::bf16;  // an empty precision is BF16
  // The cache's format is not recorded. TensorRT-LLM keeps it in FP8 with quantised checkpoints;
  // vLLM and SGLang do so when asked, and the public scripts ask on Blackwell only.
  const bool blackwell = m.hardware.find('b') == 0 || m.hardware.find("gb") == 0;
  const bool narrow = info(*m.weights).bits < 16 && *m.weights != Dtype::int4_g128;
  m.kv = narrow && (m.engine == "trtllm" || blackwell) ? Dtype::fp8 : Dtype::bf16;
  return m;
}

Pool pool_of(const Cells& c, std::string_view prefix) {
  const std::string p(prefix);
  const Layout layout = untangle({.tp = c.ways(p + "tp_size"),
                                  .pp = c.ways(p + "pp_size"),
                                  .dp = c.ways(p + "attention_dp_size"),
                                  .moe_tp = c.ways(p + "moe_tp_size"),
                                  .moe_ep = c.ways(p + "moe_ep_size")},
                                 prefix.empty() ? gpus_of_tag(c.text("id")) : 0);
  return {.tp = layout.tp, .pp = layout.pp, .dp = layout.dp, .expert = layout.expert};
}

void read_row(const Csv& csv, const CsvRow& row, std::vector<Read>& out) {
  const Cells c(csv, row);
  Measurement m = common(c, row.line);
  const auto refuse = [&](std::string reason) {
    for (const char* metric : {"ttft", "tpot"}) {
      m.metric = metric;
      out.push_back(Refusal{m, reason});
    }
  };
  if (row.cells.size() != csv.header.size()) return refuse("malformed: wrong number of cells");
  const auto isl = c.number("isl"), osl = c.number("osl");
  if (!isl || !osl || *isl < 1 || *osl < 1 || *isl != std::floor(*isl) || *osl != std::floor(*osl))
    return refuse("malformed: isl or osl is not a whole number above zero");
  m.isl = *isl, m.osl = *osl;
  const auto tagged = tagged_number(c.text("silicon_data_source"), "silicon_concurrency=");
  const std::string mode = c.text("mode");
  if (mode == "agg") {
    m.mode = Mode::closed_loop;
    const int columns = c.ways("tp_size") * c.ways("pp_size") * c.ways("attention_dp_size");
    m.pool = pool_of(c, "");
    m.num_gpus = m.pool.tp * m.pool.pp * m.pool.dp;
    const auto batch = c.number("batch_size");
    m.concurrency = tagged.value_or(batch.value_or(0) * m.pool.dp);
    if (m.concurrency < 1) return refuse("neither concurrency nor batch is recorded");
    if (columns > 8 && m.num_gpus > 8)
      return refuse("an aggregated row with totals of a whole rack: " +
                    std::string("not one engine"));
  } else if (mode == "disagg") {
    m.mode = Mode::disaggregated;
    m.pool = pool_of(c, "decode_"), m.prefill = pool_of(c, "prefill_");
    m.pool.workers = c.number("decode_num_workers").value_or(0);
    m.prefill->workers = c.number("prefill_num_workers").value_or(0);
    m.pool.batch = c.number("decode_batch_size").value_or(0);
    m.concurrency = tagged.value_or(m.pool.batch * m.pool.workers * m.pool.dp);
    if (m.concurrency < 1) return refuse("neither concurrency nor batch is recorded");
  } else {
    return refuse("malformed: mode is neither agg nor disagg");
  }
  add_harness(m, c.text("silicon_data_source"));
  m.configuration = configuration_of(m);
  if (const auto ttft = c.number("silicon_ttft_ms"), tpot = c.number("silicon_tpot_ms");
      ttft && tpot && *ttft > 0 && *tpot > 0) {
    const double decode = *tpot * std::max(1.0, m.osl - 1);
    m.more["running_share"] = decode / (*ttft + decode);
    m.more["cycle"] = (*ttft + decode) / 1e3;
  }
  const std::pair<const char*, const char*> metrics[] = {{"ttft", "silicon_ttft_ms"},
                                                         {"tpot", "silicon_tpot_ms"}};
  for (const auto& [metric, column] : metrics) {
    m.metric = metric;
    const auto value = c.number(column);
    if (!value) out.push_back(Refusal{m, "malformed: value is not a finite number"});
    else if (*value <= 0) out.push_back(Refusal{m, "the measured value is not above zero"});
    else m.value = *value * milli, out.push_back(m);
  }
}

std::vector<Read> read(const Csv& csv) {
  std::vector<Read> out;
  out.reserve(2 * csv.rows.size());
  for (const CsvRow& row : csv.rows) read_row(csv, row, out);
  return out;
}

std::vector<Answer> answer(Context& context, std::span<const Measurement> rows) {
  std::vector<Answer> out;
  out.reserve(rows.size());
  for (const Measurement& m : rows) out.push_back(answer_silicon(context, m));
  return out;
}

}  // namespace

FileFormat silicon_format() {
  return {.name = "engines",
          .matches =
              [](const Csv& csv) {
                return csv.has({"silicon_tpot_ms", "model_path"});
              },
          .read = read,
          .predict = answer,
          .recent = true};
}

}  // namespace kvroof::accuracy
