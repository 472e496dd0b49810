// GPUStack's performance lab: `vllm bench serve` results beside the server's command line. Most
// runs send every request at once, a few keep a number of them in flight.
#include <fmt/format.h>

#include <algorithm>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/published.hpp"
#include "model/accuracy/service_run.hpp"

namespace kvroof::accuracy {
namespace {

/// The value behind one of several spellings of a flag, 0 when none is there.
double flag(std::string_view command, std::initializer_list<std::string_view> names) {
  for (std::string_view name : names) {
    std::size_t at = command.find(name);
    while (at != std::string_view::npos) {
      const std::size_t end = at + name.size();
      if (end < command.size() && (command[end] == ' ' || command[end] == '='))
        if (const double x = number_after(command.substr(at), name, 0); x > 0) return x;
      at = command.find(name, end);
    }
  }
  return 0;
}

std::vector<Read> read(const Csv& csv) {
  return read_published(csv, [](Measurement& m) -> std::string {
    const std::string& note = m.words["note"];
    // Headings and command lines disagree at times: the command line is what ran.
    const std::size_t at = note.find("cmd:");
    const std::string command = at == std::string::npos ? "" : note.substr(at + 4);
    m.engine = mentions(command, "sglang")       ? "SGLang"
               : mentions(command, "trtllm")     ? "TensorRT-LLM"
               : mentions(command, "vllm serve") ? "vLLM"
                                                 : note.substr(0, note.find(';'));
    const std::string& batch = m.words["batch"];
    m.concurrency = number_after(batch, "max-concurrency", 0);
    m.mode = m.concurrency > 0 ? Mode::closed_loop : Mode::offline;
    m.more["requests"] = number_after(note, "n=", number_after(batch, "all", 0));
    m.more["max_num_seqs"] =
        flag(command, {"--max-num-seqs", "--max-running-requests", "--max_batch_size"});
    m.more["max_tokens"] =
        flag(command, {"--max-num-batched-tokens", "--chunked-prefill-size", "--max_num_tokens"});
    const double dp = flag(command, {"--dp-size", "--dp", "--data-parallel-size"});
    const double tp = flag(command, {"--tp-size", "--tp_size", "--tensor-parallel-size", "-tp"});
    const double pp = flag(command, {"--pp-size", "--pp_size", "--pipeline-parallel-size"});
    if (tp > 0) m.pool.tp = static_cast<int>(tp);
    if (pp > 0) m.pool.pp = static_cast<int>(pp);
    if (dp > 1 && mentions(command, "enable-dp-attention")) {
      m.pool.dp = static_cast<int>(dp);  // attention replicas inside the tensor group
      m.pool.tp = std::max(1, m.pool.tp / m.pool.dp);
      m.pool.expert = true;
    } else if (dp > 1) {
      m.pool.dp = static_cast<int>(dp);
    }
    if (mentions(command, "enable-expert-parallel")) m.pool.expert = true;
    m.configuration = fmt::format("{}|{}|{}|{}|{}", deployment(m), m.isl, m.osl, batch, command);
    if (!(m.isl >= 1 && m.osl >= 1)) return "no lengths";
    if (!(m.more["requests"] >= 1)) return "number of requests not stated";
    if (mentions(command, "speculative")) return "speculative decoding without the accepted length";
    if (m.metric == "itl_mean") m.metric = "tpot_itl";
    return {};
  });
}

/// Lengths: "random" data sets are of one length, ShareGPT's are close to exponential.
std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  Once<serving::Service> runs;
  return answer_each(rows, [&](const Measurement& m) {
    Setup s = setup_of(context, m);
    if (const double n = m.more.at("max_num_seqs"); n >= 1)
      s.policy.max_num_seqs = static_cast<int>(n);
    if (const double n = m.more.at("max_tokens"); n >= 1)
      s.policy.max_num_batched_tokens = static_cast<int>(n);
    if (s.policy.max_num_batched_tokens < s.policy.max_num_seqs)
      s.policy.max_num_batched_tokens = s.policy.max_num_seqs;
    const bool random = mentions(m.words.at("note"), "random");
    const auto shape = random ? serving::LengthShape::fixed : serving::LengthShape::exponential;
    const serving::Service& r = runs(m.configuration, [&] {
      return run_service(
          s, {.traffic = {.requests = static_cast<std::int64_t>(m.more.at("requests")),
                          .prompt = {.shape = shape, .mean = m.isl, .max = 1024 + m.isl},
                          .output = {.shape = shape, .mean = m.osl, .max = 1024 + m.osl}},
              .concurrency = static_cast<std::int64_t>(m.concurrency)});
    });
    return service_metric(r, m);
  });
}

}  // namespace

FileFormat gpustack_format() {
  return {"GPUStack performance lab",
          [](const Csv& csv) { return is_published(csv, "GPUStack performance lab"); }, read,
          predict, true};
}

}  // namespace kvroof::accuracy
