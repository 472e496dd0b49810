// Speculative decoding at batch 1: Spec-Bench's speed-ups from its own accepted lengths. How many
// guesses are right is a fact of two networks and a text, an input here: lengths are not predicted.
#include <fmt/format.h>

#include <array>
#include <map>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/past_engines.hpp"
#include "model/accuracy/published.hpp"
#include "model/accuracy/service_run.hpp"
#include "model/llm_counts.hpp"
#include "model/serving/speculative.hpp"

namespace kvroof::accuracy {
namespace {

/// What a step of a method does: draft passes one after the other, each of `layers` decoder layers
/// and an lm_head, and tokens verified at once. From the papers and the benchmark's settings.
struct Method {
  std::string_view name;
  int passes;
  double layers;
  bool head;  // the draft pass multiplies by the lm_head
  int verified;
};
constexpr std::array<Method, 13> kMethods{{{"SAMD[EAGLE2]", 5, 1, true, 60},
                                           {"EAGLE3", 7, 1, true, 60},
                                           {"EAGLE2", 6, 1, true, 60},
                                           {"EAGLE", 5, 1, true, 26},
                                           {"Hydra", 4, 0, true, 64},
                                           {"Medusa", 1, 0, true, 64},
                                           {"REST", 0, 0, false, 64},
                                           {"SpS", 5, 1, true, 6},
                                           {"PLD", 0, 0, false, 11},
                                           {"Lookahead", 0, 0, false, 60},
                                           {"Recycling", 0, 0, false, 80},
                                           {"SAMD", 0, 0, false, 40},
                                           {"SAM", 0, 0, false, 40}}};

const Method* method_of(std::string_view name) {
  for (const Method& m : kMethods)
    if (name == m.name) return &m;
  return nullptr;
}

/// "method EAGLE2, task math, greedy" -> EAGLE2.
std::string method_name(std::string_view note) {
  const std::size_t at = note.find("method ");
  if (at == std::string_view::npos) return {};
  const std::string_view rest = note.substr(at + 7);
  return std::string(rest.substr(0, rest.find(',')));
}

std::vector<Read> read(const Csv& csv) {
  return read_published(csv, [](Measurement& m) -> std::string {
    m.engine = "generic";
    m.mode = Mode::static_batch;
    m.words["method"] = method_name(m.words["note"]);
    m.configuration = fmt::format("{}|{}|{}", m.hardware, m.llm, m.words["method"]);
    if (m.metric == "acceptance_length")
      return "an accepted length is a property of the networks and the text, an input";
    if (m.metric != "specdec_speedup") return "metric " + m.metric + " is not one of this table";
    return {};
  });
}

std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  return answer_each(rows, [&](const Measurement& m) {
    const Method* how = method_of(m.words.at("method"));
    if (!how) throw std::runtime_error("method " + m.words.at("method") + " is not known");
    const auto length = m.more.find("accepted");
    if (length == m.more.end())
      throw std::runtime_error("no accepted length for this method and network in the table");
    if (mentions(m.words.at("note"), "task "))
      throw std::runtime_error("the accepted length of a single task is not stated");
    const Setup s = eager(unfitted(setup_of(context, m), *context.machine(m.hardware)));
    const Lowering l = lower(s.llm, s.policy, s.machine);
    const double context_tokens = 512, tokens = how->verified;
    const auto step = [&](double s_q) {
      return phase(s, l, {{.requests = 1, .s_q = s_q, .cached = context_tokens, .logit_rows = s_q}})
                 .step.expected +
             s.engine.step_base;
    };
    Setup draft = s;
    draft.llm.layers = {s.llm.layers.front()};
    draft.llm.layers[0].count = static_cast<int>(how->layers);
    const Seconds plain = step(1), verify = step(tokens);
    Seconds drafted;
    if (how->passes > 0) {
      const Lowering dl = lower(draft.llm, draft.policy, draft.machine);
      drafted =
          how->passes *
          phase(draft, dl, {{.requests = 1, .s_q = 1, .cached = context_tokens}}).step.expected;
    }
    // Every pass beside the plain step comes with its own host work; the plain step has it too.
    const Seconds host = eager_pass_overhead();
    return length->second * (plain + host) / (drafted + how->passes * host + verify + 2 * host);
  });
}

}  // namespace

FileFormat speculation_format() {
  return {"speculative decoding",
          [](const Csv& csv) {
            return is_published(csv, "Spec-Bench") || is_published(csv, "acceptance length");
          },
          [](const Csv& csv) {
            std::vector<Read> rows = read(csv);
            std::map<std::string, double> accepted;
            for (const Read& r : rows)
              if (const auto* refused = std::get_if<Refusal>(&r);
                  refused && refused->row.metric == "acceptance_length")
                accepted[refused->row.configuration] = refused->row.value;
            for (Read& r : rows)
              if (auto* m = std::get_if<Measurement>(&r))
                if (const auto at = accepted.find(m->configuration); at != accepted.end())
                  m->more["accepted"] = at->second;
            return rows;
          },
          predict};
}

}  // namespace kvroof::accuracy
