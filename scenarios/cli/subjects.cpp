#include "scenarios/cli/subjects.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "model/user_error.hpp"

namespace kvroof::cli {
namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> out;
  std::istringstream in(list);
  for (std::string item; std::getline(in, item, ',');) out.push_back(item);
  return out;
}

Seconds limit(const Percentiles& p) {
  for (const std::optional<double>& ms : {p.p99, p.p95, p.p90, p.p50, p.mean})
    if (ms) return Seconds{*ms * milli};
  return {};
}

/// The SLO in words of time; a preset gives what the file leaves open.
void add_slo(Subject& subject, const Slo& slo) {
  subject.ttft_slo = limit(slo.ttft_ms), subject.tpot_slo = limit(slo.tpot_ms);
  for (const SloPreset& preset : slo_presets()) {
    if (preset.name != slo.preset) continue;
    if (subject.ttft_slo == Seconds{}) subject.ttft_slo = Seconds{preset.ttft_p99_ms * milli};
    if (subject.tpot_slo == Seconds{}) subject.tpot_slo = Seconds{preset.tpot_p99_ms * milli};
  }
}

Case evaluate(const Inputs& in) {
  const std::string where = in.file.empty() ? "command line" : in.file;
  Case c{.resolved = resolve(in)};
  if (!c.resolved.scenario.kernel_calls().empty())
    throw UserError(where + ": expected a scenario with a model; a kernel scenario has no step");
  const Scenario& s = c.resolved.scenario;
  c.subject.name = s.name.empty() ? c.resolved.setup.llm.id : s.name;
  c.subject.setup = c.resolved.setup;
  add_slo(c.subject, s.slo);
  try {
    c.subject.prediction = predict(c.subject.setup);
  } catch (const std::invalid_argument& e) {
    throw UserError(where + ": " + e.what());
  } catch (const std::domain_error& e) {
    throw UserError(where + ": " + e.what());
  }
  return c;
}

}  // namespace

std::vector<Case> cases(const Inputs& inputs, const std::vector<std::string>& more_files) {
  std::vector<std::string> files{inputs.file};
  files.insert(files.end(), more_files.begin(), more_files.end());
  std::vector<std::string> gpus;
  if (const auto it = inputs.flags.find("hardware"); it != inputs.flags.end())
    gpus = split(it->second);
  std::vector<Case> out;
  for (const std::string& file : files) {
    Inputs one = inputs;
    one.file = file;
    if (gpus.size() < 2) {
      out.push_back(evaluate(one));
      continue;
    }
    for (const std::string& gpu : gpus) {
      one.flags["hardware"] = gpu;
      Case c = evaluate(one);
      c.subject.name = files.size() > 1 ? c.subject.name + " · " + gpu : c.subject.setup.machine.id;
      out.push_back(std::move(c));
    }
  }
  for (std::size_t i = 0; i < out.size(); ++i) {  // the same scenario twice keeps two names
    std::size_t copy = 1;
    for (std::size_t k = 0; k < i; ++k) copy += out[k].subject.name == out[i].subject.name;
    if (copy > 1) out[i].subject.name += " #" + std::to_string(copy);
  }
  return out;
}

std::vector<Subject> subjects(const std::vector<Case>& cases) {
  std::vector<Subject> out;
  for (const Case& c : cases) out.push_back(c.subject);
  return out;
}

}  // namespace kvroof::cli
