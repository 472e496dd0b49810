#include "model/accuracy/published.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "model/lint_rows.hpp"

namespace kvroof::accuracy {
namespace {

using lint_rows::Row;

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

/// Base units of the table's units; 0 for one we do not know.
double unit_in_si(std::string_view unit) {
  if (unit == "ms") return milli;
  if (unit == "us") return micro;
  if (unit == "GB/s") return giga;
  for (std::string_view plain : {"s", "tok/s", "req/s", "samples/s", "tok/s/GPU", "tok/s/user",
                                 "tok/s/node", "x", "tokens/step", "USD", "%"})
    if (unit == plain) return 1;
  if (unit.starts_with("ms/")) return milli;  // slopes of a fit
  return 0;
}

/// The tables' names of the quantities that several of them report.
std::string metric_name(std::string_view metric) {
  if (metric == "ttft_mean") return "ttft";
  if (metric == "tpot_mean") return "tpot";
  if (metric == "e2e_latency") return "e2e";
  if (metric == "output_throughput") return "output_tok_s";
  if (metric == "output_throughput_per_gpu") return "output_tok_s_per_gpu";
  if (metric == "total_throughput" || metric == "total_token_throughput") return "total_tok_s";
  if (metric == "request_throughput" || metric == "sample_throughput") return "request_rate";
  return std::string(metric);
}

int whole(const std::string& text, int otherwise) {
  const double x = to_number(text).value_or(otherwise);
  return x >= 1 && x <= 1e6 ? static_cast<int>(x) : otherwise;
}

}  // namespace

bool is_published(const Csv& csv, std::string_view word) {
  if (!csv.has({"source", "hardware", "model", "metric", "value", "unit", "note"})) return false;
  const int c = csv.column({"source"});
  return !csv.rows.empty() && static_cast<std::size_t>(c) < csv.rows[0].cells.size() &&
         mentions(csv.rows[0].cells[static_cast<std::size_t>(c)], word);
}

bool mentions(std::string_view text, std::string_view word) {
  return lower_case(text).find(lower_case(word)) != std::string::npos;
}

double number_after(std::string_view text, std::string_view word, double otherwise) {
  const std::size_t at = text.find(word);
  if (at == std::string_view::npos) return otherwise;
  std::string_view rest = text.substr(at + word.size());
  while (!rest.empty() && (rest.front() == ' ' || rest.front() == '=')) rest.remove_prefix(1);
  std::size_t end = 0;
  while (end < rest.size() && (std::isdigit(static_cast<unsigned char>(rest[end])) ||
                               (rest[end] == '.' && end > 0 && end + 1 < rest.size() &&
                                std::isdigit(static_cast<unsigned char>(rest[end + 1])))))
    ++end;
  return to_number(rest.substr(0, end)).value_or(otherwise);
}

double version_number(std::string_view version) {
  while (!version.empty() && !std::isdigit(static_cast<unsigned char>(version.front())))
    version.remove_prefix(1);
  const std::size_t dot = version.find('.');
  const double major = to_number(version.substr(0, dot)).value_or(0);
  if (dot == std::string_view::npos) return major;
  const std::string_view rest = version.substr(dot + 1);
  return major + to_number(rest.substr(0, rest.find('.'))).value_or(0) / 100;
}

std::string deployment(const Measurement& m) {
  return fmt::format("{}|{}|{}|{}|tp{}pp{}dp{}{}|{}|{}", m.hardware, m.engine, m.engine_version,
                     m.llm, m.pool.tp, m.pool.pp, m.pool.dp, m.pool.expert ? "ep" : "",
                     m.weights ? name(*m.weights) : "", m.kv ? name(*m.kv) : "");
}

Read published_row(const Csv& csv, const CsvRow& cells) {
  Row r(csv, cells);
  Measurement m;
  m.file = csv.file.substr(csv.file.rfind('/') + 1);
  m.line = cells.line;
  if (cells.cells.size() != csv.header.size())
    return Refusal{m, fmt::format("expected {} cells", csv.header.size())};
  m.hardware = r.text({"hardware"});
  // "8xH200 SXM 141GB (DGX)" names one machine.
  if (const std::size_t x = m.hardware.find('x');
      x > 0 && x < 4 && to_number(m.hardware.substr(0, x)))
    m.hardware.erase(0, x + 1);
  m.llm = r.text({"model"});
  if (m.llm.starts_with("Qwen-1.5")) m.llm.replace(0, 8, "Qwen1.5");
  if (m.llm.starts_with("Vicuna-7B")) m.llm = "llama-7b";  // fine-tuned from it
  if (m.llm.starts_with("Vicuna-13B")) m.llm = "llama-13b";
  m.num_gpus = whole(r.text({"num_gpus"}), 0);
  m.pool.tp = whole(r.text({"tp"}), 1);
  m.pool.pp = whole(r.text({"pp"}), 1);
  m.pool.expert = whole(r.text({"ep"}), 1) > 1;
  m.weights = format_of(r.text({"weight_dtype"}));
  if (r.text({"weight_dtype"}) == "FP32") m.weights = Dtype::fp32;
  m.kv = format_of(r.text({"kv_dtype"}));
  m.isl = std::max(0.0, r.number_or("isl", 0));
  m.osl = std::max(0.0, r.number_or("osl", 0));
  m.concurrency = std::max(0.0, r.number_or("batch_or_concurrency", 0));
  const std::string metric = r.text({"metric"}), unit = r.text({"unit"}), note = r.text({"note"});
  m.metric = metric_name(metric);
  m.words = {{"source", r.text({"source"})},
             {"note", note},
             {"batch", r.text({"batch_or_concurrency"})},
             {"metric", metric},
             {"unit", unit},
             {"isl", r.text({"isl"})},
             {"osl", r.text({"osl"})}};
  m.more = {{"ep", whole(r.text({"ep"}), 1)}};
  const double si = unit_in_si(unit);
  m.value = r.number_or("value", 0) * si;
  if (note.find("SUSPECT") != std::string::npos) return Refusal{m, "marked SUSPECT in the table"};
  if (si == 0) return Refusal{m, "unknown unit '" + unit + "'"};
  if (!(m.value > 0)) return Refusal{m, "the value is not a number above zero"};
  return m;
}

std::vector<Read> read_published(const Csv& csv,
                                 const std::function<std::string(Measurement&)>& finish) {
  std::vector<Read> out;
  out.reserve(csv.rows.size());
  for (const CsvRow& row : csv.rows) {
    Read read = published_row(csv, row);
    if (auto* m = std::get_if<Measurement>(&read)) {
      const std::string why = finish(*m);
      // Groups compare across tables: the program's own engine names where it has one.
      if (const std::string known = engine_of(m->engine); known != "generic") m->engine = known;
      if (!why.empty()) read = Refusal{*m, why};
    }
    out.push_back(std::move(read));
  }
  return out;
}

}  // namespace kvroof::accuracy
