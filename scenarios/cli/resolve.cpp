#include "scenarios/cli/resolve.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "model/engine_args.hpp"
#include "model/engine_fit.hpp"
#include "model/llm_counts.hpp"
#include "model/lowering.hpp"
#include "model/scenario_fields.hpp"
#include "model/search_path.hpp"
#include "model/shard.hpp"
#include "model/user_error.hpp"

namespace kvroof::cli {
namespace {

/// A visitor of the field table: every scalar field becomes --key-with-dashes.
struct FlagMaker {
  CLI::App& verb;
  std::map<std::string, std::string>& flags;
  std::string block;

  template <class M>
  void operator()(std::string_view key, M&, const Field& field) {
    std::string flag = "--" + std::string(key);
    std::replace(flag.begin(), flag.end(), '_', '-');
    const std::string path = block.empty() ? std::string(key) : block + "." + std::string(key);
    CLI::Option* option = verb.add_option_function<std::string>(
        flag, [this_flags = &flags, path](const std::string& text) { (*this_flags)[path] = text; },
        std::string(field.doc));
    if constexpr (std::same_as<M, bool>) option->expected(0, 1)->default_str("true");
    option->group(block);
  }
};

std::vector<Override> overrides_of(const Inputs& in, std::vector<std::string>& warnings) {
  std::vector<Override> out;
  if (!in.engine_args.empty()) {
    EngineArgs args = parse_engine_args(in.engine_args);
    out.insert(out.end(), args.overrides.begin(), args.overrides.end());
    std::string ignored;
    for (const std::string& a : args.ignored) ignored += (ignored.empty() ? "" : " ") + a;
    if (!ignored.empty()) warnings.push_back("--engine-args: not modelled, ignored: " + ignored);
  }
  for (const auto& [path, value] : in.flags) out.push_back({path, value, "command line"});
  const auto says = [&](std::string_view path) {
    return std::any_of(out.begin(), out.end(), [&](const Override& o) { return o.path == path; });
  };
  for (const std::string& s : in.set) {
    const std::size_t equals = s.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UserError("--set: expected key=value, got \"" + s + "\"");
    out.push_back({s.substr(0, equals), s.substr(equals + 1), "--set"});
  }
  // A load is one of three: requests in flight, a rate, or one step. Who asks for one on the command
  // line does not mean the file's.
  const std::string_view loads[] = {"workload.max_concurrency", "workload.request_rate",
                                    "workload.batch"};
  if (std::any_of(std::begin(loads), std::end(loads), says))
    for (const std::string_view other : loads)
      if (!says(other)) out.push_back({std::string(other), "null", "command line"});
  if (!says("workload.batch") && says("workload.max_concurrency"))
    out.push_back({"workload.context", "null", "command line"});
  return out;
}

/// Defaults that changed the answer, under the names and values they took.
std::string defaults_text(const Scenario& s, const Setup& setup, const Lowering& lowering) {
  const bool experts = has_experts(setup.llm);
  const std::string_view limit = memory_share(setup.policy, setup.engine).key;
  std::string text;
  for (std::string d : defaults_used(s)) {
    const std::string key = d.substr(0, d.find(' '));
    const bool share = key == "gpu_memory_utilization" || key == "mem_fraction_static" ||
                       key == "kv_cache_free_gpu_memory_fraction";
    if (share && key != limit) continue;
    if (key == "enable_expert_parallel" && !experts) continue;
    if (key == "overlap_communication" && setup.policy.parallel.gpus() == 1) continue;
    if (d == "max_model_len 0") d = fmt::format("max_model_len {}", setup.llm.max_positions);
    if (d == "prefill_attention auto") d = fmt::format("{} {}", key, lowering.prefill->name);
    if (d == "decode_attention auto") d = fmt::format("{} {}", key, lowering.decode->name);
    text += (text.empty() ? "" : ", ") + d;
  }
  return text.empty() ? "" : text + fmt::format(" ({} defaults)", s.engine);
}

/// Requests in flight of an open loop, by Little's law: rate times the time in the system.
double in_flight(Setup setup, double rate, int most) {
  double batch = 1;
  for (int i = 0; i < 30; ++i) {
    setup.point.batch = std::clamp(batch, 1.0, 1.0 * most);
    const double next = rate * predict(setup).e2e.value;
    if (std::abs(next - batch) < 0.01) break;
    batch = next;
  }
  return std::clamp(batch, 1.0, 1.0 * most);
}

}  // namespace

std::shared_ptr<Inputs> add_inputs(CLI::App& verb) {
  auto in = std::make_shared<Inputs>();
  verb.add_option("scenario", in->file, "scenario YAML; without one, flags say everything");
  for (const auto& [flag, path, doc] :
       {std::tuple{"--model", "model", "bundled id, Hugging Face name, config.json or folder"},
        {"--hardware", "hardware", "profile id or path"},
        {"--engine", "engine", "vllm | sglang | trtllm: whose defaults and memory rule"},
        {"--gpu-hour-usd", "cost.gpu_hour_usd", "price of a GPU-hour"}})
    verb.add_option_function<std::string>(
        flag, [in, path = path](const std::string& text) { in->flags[path] = text; }, doc);
  Workload workload;
  Policy serving;
  FlagMaker maker{verb, in->flags, "workload"};
  fields(maker, workload);
  maker.block = "serving";
  fields(maker, serving);
  verb.add_option("--set", in->set, "override any key: --set serving.block_size=32")->take_all();
  verb.add_option("--engine-args", in->engine_args,
                  "your real command line: \"vllm serve … -tp 4\"");
  verb.add_option("--profile-path", in->profile_path,
                  "folder with hw_profiles/ and scenarios/llms/ of your own");
  verb.add_option_function<std::string>(
          "--roof", [in](const std::string& roof) { in->datasheet_roof = roof == "datasheet"; },
          "best: measured, fitted, then assumed | datasheet: speed of light everywhere")
      ->check(CLI::IsMember({"best", "datasheet"}));
  verb.add_flag("--allow-unknown-arch", in->allow_unknown_arch,
                "read an unknown architecture as a dense decoder");
  return in;
}

Scenario read_scenario(const Inputs& in, std::vector<std::string>& warnings) {
  const std::vector<Override> overrides = overrides_of(in, warnings);
  if (in.file.empty() && overrides.empty())
    throw UserError(
        "expected a scenario file, or --model and --hardware (kvroof init prints a file to start "
        "from)");
  return in.file.empty() ? scenario_from_overrides(overrides) : load_scenario(in.file, overrides);
}

OperatingPoint operating_point(const Workload& w) {
  OperatingPoint p;
  p.prefix_hit = w.prefix_hit_rate;
  if (w.batch || w.context) {
    if (!w.batch || !w.context)
      throw UserError(std::string("workload.") + (w.batch ? "context" : "batch") +
                      ": expected with workload." + (w.batch ? "batch" : "context") +
                      ": a step needs both the number of requests and their tokens");
    p.batch = *w.batch, p.prompt = p.context = *w.context, p.lock_step = true;
    return p;
  }
  if (!w.input_len.given() || !w.output_len.given())
    throw UserError(
        "workload: expected input_len and output_len (or batch and context), got neither pair in "
        "full");
  p.prompt = w.input_len.mean_tokens(), p.output = w.output_len.mean_tokens();
  p.batch = w.max_concurrency.value_or(1);
  return p;
}

Resolved resolve(const Inputs& in) {
  std::vector<std::string> warnings;
  Catalog catalog;
  try {
    Resolved r = resolve(read_scenario(in, warnings), in, catalog);
    r.warnings.insert(r.warnings.begin(), warnings.begin(), warnings.end());
    if (!r.scenario.kernel_calls().empty()) return r;
    if (const std::string problem = sharding_problem(r.setup.llm, r.setup.policy.parallel);
        !problem.empty())
      throw std::invalid_argument(problem);
    return r;
  } catch (const std::invalid_argument& e) {
    throw UserError(fmt::format("{}: {}", in.file.empty() ? "command line" : in.file, e.what()));
  }
}

Resolved resolve(Scenario scenario, const Inputs& in, Catalog& catalog) {
  Resolved r;
  r.scenario = std::move(scenario);
  const Scenario& s = r.scenario;
  const std::vector<std::string> roots = search_roots(in.profile_path);
  const std::string file = find_profile(s.hardware, roots, s.folder);
  if (!catalog.profiles.contains(file)) catalog.profiles.emplace(file, load_profile(file));
  r.profile = catalog.profiles.at(file);
  Setup& setup = r.setup;
  setup.machine = to_machine(r.profile, in.datasheet_roof ? RoofKind::datasheet : RoofKind::best);
  if (s.cost.gpu_hour_usd) setup.machine.gpu_hour_usd = *s.cost.gpu_hour_usd;
  setup.policy = s.policy;
  setup.engine = load_engine(std::string_view(s.engine).substr(0, s.engine.find('@')),
                             setup.machine.architecture, roots);
  if (!in.datasheet_roof) setup.machine = with_kernels_of(setup.engine, setup.machine);
  if (!s.kernel_calls().empty()) return r;

  const std::string network = s.model + '\n' + s.folder;
  if (!catalog.llms.contains(network))
    catalog.llms.emplace(
        network, load_llm(s.model, roots, {.allow_unknown_arch = in.allow_unknown_arch}, s.folder));
  const LlmConfig& llm = catalog.llms.at(network);
  setup.llm = llm.shape;
  r.warnings.insert(r.warnings.end(), llm.notes.begin(), llm.notes.end());
  r.warnings.insert(r.warnings.end(), s.notes.begin(), s.notes.end());
  setup.point = operating_point(s.workload);
  const int most = setup.policy.max_num_seqs * setup.policy.parallel.data;
  Lowering lowering;
  try {
    lowering = lower(setup.llm, setup.policy, setup.machine);
  } catch (const std::invalid_argument& e) {
    throw UserError(fmt::format("{}: {}", s.file.empty() ? "command line" : s.file, e.what()));
  }
  if (const auto rate = s.workload.request_rate; rate && !s.workload.max_concurrency) {
    setup.point.batch = in_flight(setup, *rate, most);
    if (const double served = predict(setup).request_rate; served < 0.99 * *rate)
      r.warnings.push_back(
          fmt::format("{:g} requests a second are more than the {:.3g} that {} at once are served "
                      "at: the queue would grow without end (kvroof plan sizes for a rate)",
                      *rate, served, most));
  }
  if (setup.point.batch > most && !setup.point.lock_step) {
    r.warnings.push_back(
        fmt::format("{:.0f} concurrent requests, but max_num_seqs lets {} run; the others queue",
                    setup.point.batch, most));
    setup.point.batch = most;
  }
  const double longest =
      std::max(setup.point.decode_context(), setup.point.prompt + setup.point.output);
  if (setup.llm.max_positions > 0 && longest > setup.llm.max_positions &&
      !(setup.point.lock_step && longest - 1 <= setup.llm.max_positions))
    r.warnings.push_back(fmt::format("{:.0f} tokens exceed the {} positions {} was made for",
                                     longest, setup.llm.max_positions, setup.llm.id));

  if (setup.policy.parallel.expert && !has_experts(setup.llm))
    r.warnings.push_back("enable_expert_parallel: " + setup.llm.id + " has no experts");
  if (std::string defaults = defaults_text(s, setup, lowering); !defaults.empty())
    r.assumed.push_back(std::move(defaults));
  const Machine& m = setup.machine;
  const ClassFit& gemm = m.fit_of(OpClass::gemm);
  r.assumed.push_back(fmt::format(
      "{}: weights stream at {:.0f} % of datasheet HBM ({}), products at {:.0f} % of peak", m.id,
      100 * gemm.memory, name(gemm.source), 100 * gemm.compute));
  r.assumed.push_back(fmt::format("{:.1f} ms of host time a step ({}); ${:.2f} per GPU-hour",
                                  setup.engine.step_base.value / milli, setup.engine.name,
                                  m.gpu_hour_usd));
  return r;
}

}  // namespace kvroof::cli
