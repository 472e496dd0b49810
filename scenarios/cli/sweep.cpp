// kvroof sweep: a grid of scenarios reduced to its best points, fronts, ranges and marginals.
// kvroof merge: the same from the states of its shards.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "model/replace_file.hpp"
#include "model/search_path.hpp"
#include "model/serve_scenario.hpp"
#include "model/sweep/slice.hpp"
#include "model/sweep/state.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"
#include "scenarios/cli/output.hpp"
#include "scenarios/cli/progress.hpp"
#include "scenarios/cli/resolve.hpp"
#include "scenarios/cli/sweep_files.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

namespace fs = std::filesystem;

/// States grow with the axes; their size on disk is the only limit.
sweep::LoadedState load_state(const std::string& file) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  return sweep::read_state(read_text_file(file, error ? kMaxInputBytes : size), file);
}

struct Options {
  std::vector<std::string> axes;
  std::string folder, shard = "1/1", by = "usd_per_million_output_tokens", per = "hardware";
  std::vector<std::string> pareto{"tok_s_per_user", "output_tok_s_per_gpu"};
  std::string format = "table";
  std::size_t top = 100;
  int threads = 0;
  double checkpoint = 2;
  bool quiet = false;
};

sweep::Column column(const std::string& name) {
  if (const auto c = sweep::find_column(name)) return *c;
  std::vector<std::string_view> known;
  for (const sweep::ColumnInfo& c : sweep::kColumns) known.push_back(c.name);
  throw UserError("expected a column of the sweep, got \"" + name + "\"" +
                  did_you_mean(name, known));
}

Scenario at(Inputs in, const std::vector<std::pair<std::string, std::string>>& values) {
  for (const auto& [path, value] : values) in.set.push_back(path + "=" + value);
  std::vector<std::string> warnings;
  return read_scenario(in, warnings);
}

/// Numbers of the workload axes; every value of every axis is read once, so that a wrong one is
/// refused before the first point and not in the middle of the night.
void check_values(const Inputs& in, sweep::Grid& grid) {
  for (sweep::GridAxis& axis : grid.axes)
    for (const std::string& value : axis.values) {
      const Scenario s = at(in, {{axis.path, value}});
      if (axis.slot == sweep::Slot::deployment) continue;
      const OperatingPoint p = operating_point(s.workload);
      axis.numbers.push_back(axis.slot == sweep::Slot::batch     ? p.batch
                             : axis.slot == sweep::Slot::prompt  ? p.prompt
                             : axis.slot == sweep::Slot::output  ? p.output
                             : axis.slot == sweep::Slot::context ? p.context
                                                                 : p.prefix_hit);
    }
}

/// Everything the numbers depend on: program, scenario, axes, reduction, profiles and networks.
std::string inputs_hash(const Inputs& in, const Scenario& s, const sweep::Job& job) {
  std::vector<std::string> texts{KVROOF_VERSION, to_json(resolved_inputs(s)),
                                 in.datasheet_roof ? "datasheet" : "best",
                                 in.allow_unknown_arch ? "unknown" : ""};
  const std::vector<std::string> roots = search_roots(in.profile_path);
  std::vector<std::string> hardware{s.hardware}, networks{s.model};
  for (const sweep::GridAxis& a : job.grid.axes) {
    texts.push_back(a.path);
    texts.insert(texts.end(), a.values.begin(), a.values.end());
    const auto note = [&](std::vector<std::string>& to) {
      for (const std::string& v : a.values)
        to.push_back(at(in, {{a.path, v}}).*
                     (&to == &hardware ? &Scenario::hardware : &Scenario::model));
    };
    if (a.path == "hardware") note(hardware);
    if (a.path == "model") note(networks);
  }
  for (const std::string& h : hardware)
    texts.push_back(print_profile(load_profile(find_profile(h, roots, s.folder))));
  for (const std::string& m : networks) {
    const fs::path path = find_llm(m, roots, s.folder);
    texts.push_back(
        read_text_file((fs::is_directory(path) ? path / "config.json" : path).string()));
  }
  const sweep::Reduction& r = job.how;
  texts.push_back(fmt::format("{} {} {} {} {} {} {}", info(r.by).name, r.top, info(r.pareto_x).name,
                              info(r.pareto_y).name, r.per, r.slo.ttft, r.slo.tpot));
  return sweep::hash_of(texts);
}

sweep::Job job_of(const Inputs& in, const Scenario& s, const Options& o) {
  if (!s.kernel_calls().empty())
    throw UserError("kvroof sweep: expected a service, got a kernel scenario (try kvroof run)");
  std::vector<Axis> axes = s.sweep.axes;
  for (const std::string& text : o.axes) {
    Axis a = sweep::parse_axis(text);
    std::erase_if(axes, [&](const Axis& old) { return old.path == a.path; });
    axes.push_back(std::move(a));
  }
  if (axes.empty())
    throw UserError("kvroof sweep: expected a sweep block in the scenario, or --sweep key=values");
  if (o.per != "hardware" &&
      std::none_of(axes.begin(), axes.end(), [&](const Axis& a) { return a.path == o.per; })) {
    std::string known;
    for (const Axis& a : axes) known += (known.empty() ? "" : ", ") + a.path;
    throw UserError(
        fmt::format("--per: expected an axis of this sweep ({}), got \"{}\"", known, o.per));
  }
  // The batch of an open loop follows from the times themselves: each point is its own deployment.
  bool open_loop = s.workload.request_rate && !s.workload.max_concurrency;
  for (const Axis& a : axes) open_loop = open_loop || a.path == "workload.request_rate";
  sweep::Job job{.grid = sweep::make_grid(axes, !open_loop)};
  check_values(in, job.grid);
  const Objectives slo = objectives(s.slo);
  job.how = {.by = column(o.by),
             .top = o.top,
             .pareto_x = column(o.pareto.at(0)),
             .pareto_y = column(o.pareto.at(1)),
             .per = o.per,
             .slo = {slo.ttft_p99, slo.tpot_p99}};
  return job;
}

/// Deployments by number; files are read once.
auto deployments(const Inputs& in, const sweep::Grid& grid) {
  struct Shared {
    Inputs in;
    Catalog catalog;
    std::mutex mutex;
  };
  auto shared = std::make_shared<Shared>();
  shared->in = in;
  return [shared, &grid](std::int64_t outer) -> std::optional<sweep::Deployment> {
    std::vector<std::pair<std::string, std::string>> values;
    for (std::size_t a = grid.num_outer; a-- > 0;) {
      const auto radix = static_cast<std::int64_t>(grid.axes[a].values.size());
      values.emplace_back(grid.axes[a].path,
                          grid.axes[a].values[static_cast<std::size_t>(outer % radix)]);
      outer /= radix;
    }
    try {
      Setup setup;
      {
        const std::lock_guard lock(shared->mutex);
        setup = resolve(at(shared->in, values), shared->in, shared->catalog).setup;
      }
      return sweep::Deployment(std::move(setup));
    } catch (const std::invalid_argument&) {  // the LLM cannot be cut so
    } catch (const std::domain_error&) {      // no such unit on this GPU
    }
    return std::nullopt;
  };
}

int run_sweep(const Inputs& in, const Options& o) {
  std::vector<std::string> warnings;
  const Scenario scenario = read_scenario(in, warnings);
  sweep::Job job = job_of(in, scenario, o);
  job.deployment = deployments(in, job.grid);
  const sweep::Slice slice =
      sweep::parse_slice(o.shard, [](const char* n) { return std::getenv(n); });
  if (slice.count > 1 && o.folder.empty())
    throw UserError("--shard: expected -o FOLDER beside it, where kvroof merge finds the shards");
  const std::int64_t points = job.grid.points();
  sweep::State state{.inputs = inputs_hash(in, scenario, job),
                     .grid = job.grid,
                     .how = job.how,
                     .progress = {slice.begin(points), slice.begin(points), slice.end(points)}};
  sweep::Kept kept(job.grid, job.how);
  std::string file;
  if (!o.folder.empty()) {
    std::error_code error;
    fs::create_directories(o.folder, error);
    file = (fs::path(o.folder) / state_file(slice.index, slice.count)).string();
    if (fs::exists(file)) {
      sweep::LoadedState before = load_state(file);
      if (before.state->inputs != state.inputs)
        throw UserError(file + ": belongs to another sweep (inputs " + before.state->inputs +
                        ", now " + state.inputs + "); remove it or choose another folder");
      state.progress = before.state->progress;
      kept.merge(before.kept);
      if (!o.quiet)
        std::cerr << fmt::format("{}: {} of {} points were done before\n", file,
                                 state.progress.next - state.progress.begin,
                                 state.progress.end - state.progress.begin);
    }
  }
  ProgressLine line("sweep");
  const auto total = static_cast<double>(state.progress.end - state.progress.begin);
  const auto shown = [&](const sweep::Progress& p) {
    if (!o.quiet) line.show(static_cast<double>(p.next - p.begin), total, "points");
  };
  shown(state.progress);
  const sweep::Pace pace{
      .threads = o.threads > 0 ? o.threads : static_cast<int>(std::thread::hardware_concurrency()),
      .seconds_between_stops = o.checkpoint};
  sweep::run(job, state.progress, kept, pace, [&](const sweep::Progress& p, const sweep::Kept& k) {
    if (!file.empty()) replace_file(file, print_state(state, k));
    shown(p);
  });
  if (!file.empty() && points == 0) replace_file(file, print_state(state, kept));
  if (slice.count > 1) {
    std::cout << fmt::format("{}: points {} to {} done; kvroof merge {} puts the shards together\n",
                             file, state.progress.begin, state.progress.end, o.folder);
    return kOk;
  }
  print_sweep(std::cout, state, kept, o.format);
  if (!o.folder.empty())
    for (const std::string& w : write_sweep_files(o.folder, state, kept))
      (o.format == "table" ? std::cout : std::cerr) << w << '\n';
  return kept.counts.kept > 0 ? kOk : kNo;
}

struct MergeOptions {
  std::vector<std::string> sources;
  std::string folder, format = "table";
};

int merge(const MergeOptions& o) {
  std::vector<std::string> files;
  for (const std::string& source : o.sources) {
    if (!fs::is_directory(source)) {
      files.push_back(source);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(source)) {
      const std::string name = entry.path().filename().string();
      if (name.rfind("shard-", 0) == 0 && entry.path().extension() == ".json")
        files.push_back(entry.path().string());
    }
  }
  if (files.empty())
    throw UserError("kvroof merge: expected shard-*.json in " + o.sources.at(0) + ", found none");
  std::vector<sweep::LoadedState> parts;
  for (const std::string& f : files) parts.push_back(load_state(f));
  const sweep::LoadedState whole = sweep::merge_states(std::move(parts));
  print_sweep(std::cout, *whole.state, whole.kept, o.format);
  const std::string folder = o.folder.empty() ? o.sources.at(0) : o.folder;
  std::error_code error;
  fs::create_directories(folder, error);
  for (const std::string& w : write_sweep_files(folder, *whole.state, whole.kept))
    (o.format == "table" ? std::cout : std::cerr) << w << '\n';
  return whole.kept.counts.kept > 0 ? kOk : kNo;
}

}  // namespace

void add_sweep(CLI::App& app, int& exit_code) {
  CLI::App* verb = app.add_subcommand(
      "sweep", "a grid of scenarios: best points, Pareto fronts, histograms, marginals");
  auto in = add_inputs(*verb);
  auto o = std::make_shared<Options>();
  verb->add_option("--sweep", o->axes,
                   "an axis: key=a,b,c | key=first..last | …xFACTOR | …+STEP; replaces the file's")
      ->take_all();
  verb->add_option("-o,--output", o->folder,
                   "folder for the files; a run that stopped goes on there");
  verb->add_option("--shard", o->shard,
                   "i/n: this part of the points | auto: from the batch system");
  verb->add_option("--by", o->by, "column that ranks points")->capture_default_str();
  verb->add_option("--top", o->top, "points kept by rank")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  verb->add_option("--pareto", o->pareto, "two columns of the fronts")->expected(2)->delimiter(',');
  verb->add_option("--per", o->per, "axis that gets a front for each of its values")
      ->capture_default_str();
  verb->add_option("--threads", o->threads, "0: as many as the machine has")
      ->check(CLI::Range(0, 4096));
  verb->add_option("--checkpoint", o->checkpoint, "seconds between states written")
      ->check(CLI::Range(0.001, 86400.))
      ->capture_default_str();
  verb->add_option("--format", o->format, "table | json | csv | md")
      ->check(CLI::IsMember({"table", "json", "csv", "md"}));
  verb->add_flag("--quiet", o->quiet, "no progress on stderr");
  verb->callback([in, o, &exit_code] { exit_code = run_sweep(*in, *o); });
}

void add_merge(CLI::App& app, int& exit_code) {
  CLI::App* verb = app.add_subcommand("merge", "shards of a sweep, put together");
  auto o = std::make_shared<MergeOptions>();
  verb->add_option("source", o->sources, "folders that hold shard-*.json, or such files")
      ->required();
  verb->add_option("-o,--output", o->folder, "folder for the files; else the first source");
  verb->add_option("--format", o->format, "table | json | csv | md")
      ->check(CLI::IsMember({"table", "json", "csv", "md"}));
  verb->callback([o, &exit_code] { exit_code = merge(*o); });
}

}  // namespace kvroof::cli
