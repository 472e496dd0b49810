// kvroof-probe power: what units draw, the clock that the power limit leaves, and the law between
// them (model/power.hpp), fitted on half of the runs and judged on the others.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <thread>

#include "cupti_probe/count.hpp"
#include "cupti_probe/environment.hpp"
#include "cupti_probe/measured_block.hpp"
#include "cupti_probe/power_fit.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/verbs.hpp"
#include "kernels/ceilings/steady.hpp"
#include "kernels/check.hpp"
#include "kernels/device.hpp"
#include "model/csv.hpp"
#include "model/replace_file.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

namespace kvroof::probe {
namespace {

/// Kernels at the limit and beside it: products, prefill, decode, streams. Every other pair judges.
constexpr const char* kKernels[] = {"gemm_bf16:m=8192:n=8192:k=8192",
                                    "gemm_bf16:m=4096:n=28672:k=8192",
                                    "gemm_bf16:m=1024:n=28672:k=8192",
                                    "gemm_bf16:m=256:n=28672:k=8192",
                                    "gemm_fp8:m=8192:n=8192:k=8192",
                                    "gemm_fp8:m=1024:n=28672:k=8192",
                                    "flash_v3:b=1:causal=0:d_qk=128:d_v=128:h_q=16:s_q=16384",
                                    "flash_v3:b=2:causal=1:d_qk=64:d_v=64:h_q=32:s_q=8192",
                                    "flash_v3:b=1:causal=0:d_qk=256:d_v=256:h_q=8:s_q=16384",
                                    "flash_v3_fp8:b=2:causal=0:d_qk=128:d_v=128:h_q=16:s_q=8192",
                                    "flash_v3_fp8:b=1:causal=0:d_qk=256:d_v=256:h_q=8:s_q=16384",
                                    "mla_decode_tma:b=64:s_kv=32768:h_q=128",
                                    "mla_decode_tma:b=128:s_kv=8192:h_q=128",
                                    "gqa_decode_tma:b=32:h_q=32:h_kv=8:s_kv=8192",
                                    "flash_v2:b=1:causal=0:d=128:h_q=16:s_q=16384",
                                    "swiglu:d_ff=28672:fused=1:tokens=8192"};

/// SM clock of one launch of all loads after a rest, median of three.
Clock rested_clock(std::span<const kernels::Load> loads) {
  const std::vector<kernels::Stream> streams(loads.size());
  std::array<double, 3> hz{};
  for (double& sample : hz) {
    std::this_thread::sleep_for(std::chrono::milliseconds(80));
    loads[0].reset_clock();
    CUDA_CHECK(cudaDeviceSynchronize());
    for (std::size_t i = 0; i < loads.size(); ++i) loads[i].kernel.launch(streams[i]);
    CUDA_CHECK(cudaDeviceSynchronize());
    sample = loads[0].sm_clock_hz();
  }
  std::sort(hz.begin(), hz.end());
  return Clock{hz[1]};
}

/// `row` with what its loads did; nullopt where NVML does not tell the draw.
std::optional<SteadyRow> measure(SteadyRow row, std::span<const kernels::Load> loads,
                                 double window) {
  const bool reads_clock = !loads.empty() && loads[0].clock.bytes() > 0;
  if (reads_clock) row.rested = rested_clock(loads);
  std::vector<kernels::Case> cases;
  for (const kernels::Load& load : loads)
    cases.push_back(load.kernel), row.ops.push_back(load.kernel.op);
  std::unique_ptr<EnergyMeter> meter;
  MeanDraw draw;
  const kernels::SteadyRun run =
      kernels::run_steady(cases, {.window = window,
                                  .begin =
                                      [&] {
                                        if (reads_clock) loads[0].reset_clock();
                                        meter = std::make_unique<EnergyMeter>(0);
                                      },
                                  .end =
                                      [&] {
                                        draw = meter->stop();
                                        if (reads_clock) row.clock = Clock{loads[0].sm_clock_hz()};
                                      }});
  if (!draw.watts || !draw.sm_clock_hz) return std::nullopt;
  row.watts = Watts{*draw.watts}, row.set_clock = Clock{*draw.sm_clock_hz};
  for (const double s : run.seconds) row.seconds.push_back(Seconds{s});
  row.settled = Seconds{run.settled};
  return row;
}

/// "name:key=value:key=value"
kernels::Case case_of(const std::string& text, std::string& name, std::string& args) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(':', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  const kernels::Entry& entry = entry_named(words[0]);
  const kernels::Args given = args_with(entry, {words.begin() + 1, words.end()});
  name = words[0], args = text_of(given);
  return entry.make(given);
}

/// Of the run that made a record, from its head.
std::string commit_of(const std::string& record) {
  constexpr std::string_view kHead = "# commit: ";
  for (const std::string& line : read_csv(record).comments)
    if (line.starts_with(kHead)) return line.substr(kHead.size());
  return "unknown";
}

std::vector<SteadyRow> measure_all(const PowerOptions& options, Record* record) {
  std::vector<SteadyRow> rows;
  const auto add = [&](std::optional<SteadyRow> row) {
    if (!row) throw UserError("power: NVML does not tell this GPU's energy");
    rows.push_back(std::move(*row));
    if (record)
      for (const auto& cells : power_cells(rows.back())) record->row(cells);
  };
  for (const kernels::PowerLoad& load : kernels::power_loads()) {
    std::fprintf(stderr, "kvroof-probe: %s …\n", load.name.c_str());
    add(measure({.part = load.aside ? SteadyPart::aside : SteadyPart::load, .name = load.name},
                load.idle() ? std::vector<kernels::Load>{} : load.make(), options.window));
  }
  for (const std::string& text : options.kernels) {
    std::fprintf(stderr, "kvroof-probe: %s …\n", text.c_str());
    SteadyRow row{.part = SteadyPart::kernel};
    try {
      const kernels::Case c = case_of(text, row.name, row.args);
      add(measure(row, std::array{kernels::Load{c, {}}}, options.window));
    } catch (const kernels::NotOnThisGpu& e) {
      fmt::print("left out: {}: {}\n", text, e.what());
    }
  }
  return rows;
}

void print_rows(std::span<const SteadyRow> rows, const PowerFit& fit, Clock fastest) {
  fmt::print("\n{:<7} {:<16} {:<46} {:>6} {:>6} {:>7} {:>8} {:>8} {:>7}\n", "", "", "", "W", "law",
             "", "set MHz", "law", "");
  const std::vector<bool> fitted = makes_fit(rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const SteadyRow& row = rows[i];
    const auto watts = predicted_draw(row, fit.law, fastest);
    const auto clock = predicted_clock(row, fit.law, fastest);
    if (!watts || !clock) continue;
    const bool idle = row.ops.empty();
    fmt::print("{:<7} {:<16} {:<46} {:>6.0f} {:>6.0f} {:>+6.1f}% {:>8.0f}",
               row.part == SteadyPart::aside ? "aside"
               : fitted[i]                   ? "fitted"
                                             : "judged",
               row.part == SteadyPart::kernel ? row.name : "load",
               row.part == SteadyPart::kernel ? row.args.substr(0, 46) : row.name, row.watts.value,
               watts->value, 100 * (*watts / row.watts - 1), row.set_clock.value / mega);
    if (idle) fmt::print("\n");
    else
      fmt::print(" {:>8.0f} {:>+6.1f}%\n", clock->value / mega, 100 * (*clock / row.set_clock - 1));
  }
}

/// "0.746 pJ/FLOP", "670 W", or the plain number.
std::string text_of(const PowerConstant& c, int digits) {
  if (c.plain) return fmt::format("{:.{}g}", c.value, digits);
  const bool energy = c.measure != Measure::watts;
  for (const Unit& u : units(c.measure))
    if (u.scale == (energy ? pico : 1))
      return fmt::format("{:.{}g} {}", c.value / u.scale, digits, u.symbol);
  return print_quantity(c.value, c.measure);
}

std::string source_of(const PowerConstant& c) {
  return c.error > 0 ? fmt::format("{}, standard error {:.2g} %", c.source,
                                   100 * std::abs(c.error / c.value))
                     : c.source;
}

void print_fit(const PowerFit& fit) {
  fmt::print("\n{:<15} {:>14}\n", "constant", "value");
  for (const PowerConstant& c : fit.constants)
    fmt::print("{:<15} {:>14}  {}\n", c.key, text_of(c, 3), source_of(c));
  fmt::print(
      "\ndraw: {:.1f} % off on {} runs that made the fit, {:.1f} % on {} that did not; clock of "
      "those: {:.1f} %\n",
      100 * fit.draw_error_fitted, fit.fitted, 100 * fit.draw_error_judged, fit.judged,
      100 * fit.clock_error_judged);
  if (fit.clocks_fitted > 0)
    fmt::print("clock of rested launches: {:.1f} % off on {} that made the fit, {:.1f} % on {}\n",
               100 * fit.one_shot_error_fitted, fit.clocks_fitted, 100 * fit.one_shot_error_judged,
               fit.clocks_judged);
  fmt::print("while tensor cores work SMs count {:.3f} of the set clock\n", fit.tensor_share);
}

void write_profile(const PowerFit& fit, const std::string& path, const std::string& origin) {
  std::ifstream in(path, std::ios::binary);
  const std::string profile{std::istreambuf_iterator<char>(in), {}};
  std::vector<MeasuredLine> lines;
  for (const PowerConstant& c : fit.constants)
    lines.push_back({c.key, text_of(c, 4), fmt::format("{}; {}", origin, source_of(c))});
  const std::string written = with_measured(profile, lines, path, "power");
  profile_from_node(parse_yaml(written, path));  // never leave a file we cannot read
  replace_file(path, written);
  fmt::print("\n{}: block power written, {} figures\n", path, lines.size());
}

}  // namespace

int power(const PowerOptions& options, const std::string& command) {
  const HardwareProfile profile = load_profile(profile_file(options.profile));
  const auto &fastest = profile.datasheet.boost_clock, &assumed = profile.assumed.boost_clock;
  if ((!fastest.known() && !assumed.known()) || !profile.datasheet.power.known())
    throw UserError(profile.file + ": power needs datasheet.power and boost_clock");
  const Clock top = fastest.known() ? *fastest.value : *assumed.value;

  std::vector<SteadyRow> rows;
  std::string commit;
  if (!options.record.empty()) {
    rows = read_power_record(options.record);
    commit = commit_of(options.record);
  } else {
    const std::unique_ptr<Record> record = open_record(options.csv, power_columns());
    require_gpu();
    SensorWatch watch(0);
    const Environment env = environment(command, false);
    fmt::print("{}\n", headline(env));
    PowerOptions all = options;
    if (all.kernels.empty()) all.kernels.assign(std::begin(kKernels), std::end(kKernels));
    rows = measure_all(all, record.get());
    if (record) record->close(header_lines(env, watch.stop()));
    commit = env.commit;
  }
  PowerFit fit = fit_power(rows, top, *profile.datasheet.power.value);
  if (!options.counted.empty()) fit_one_shot(fit, read_timed_shapes(options.counted), top);
  print_rows(rows, fit, top);
  print_fit(fit);
  if (!options.write.empty())
    write_profile(fit, options.write, "kvroof-probe power, commit " + commit);
  return 0;
}

}  // namespace kvroof::probe
