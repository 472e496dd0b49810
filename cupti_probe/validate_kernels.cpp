// kvroof-probe validate, part B: every kernel's cost and time against its counters.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "cupti_probe/error.hpp"
#include "cupti_probe/exceptions.hpp"
#include "cupti_probe/kernel_fit.hpp"
#include "cupti_probe/op_record.hpp"
#include "cupti_probe/summary.hpp"
#include "cupti_probe/validate_parts.hpp"
#include "kernels/ceilings/entries.hpp"
#include "kernels/device.hpp"

namespace kvroof::probe {
namespace {

/// "flash_v2, roofline: 3 of 26 shapes, 41 s so far": what is at work, once a second.
class Progress {
 public:
  void say(const std::string& kernel, std::string_view what, std::size_t i, std::size_t n) {
    using namespace std::chrono;
    const duration<double> so_far = steady_clock::now() - start_;
    if (so_far.count() < next_) return;
    next_ = so_far.count() + 1;
    progress(fmt::format("{}, {}: {} of {} shapes, {:.0f} s so far", kernel, what, i + 1, n,
                         so_far.count()));
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double next_ = 0;
};

/// One shape of a kernel: what it claims, and what was counted of it.
struct Shape {
  kernels::Args args;
  std::string name;
  std::vector<Op> stages;
  Op op;
  std::string wrong;  // why it is not judged by its counters; empty: it is
  std::optional<Counts> roofline, l2, tensor;
  kernels::Stats time;  // without counters
};

/// Launches of one counted burst; a step of hundreds of kernels is an average by itself, and each
/// kernel of it costs 4 ms of the profiler's time.
int launches_of(int kernels) { return kernels > 64 ? 1 : 5; }

/// Every shape of a kernel under counters, group by group, since changing the group takes as long
/// as six shapes do.
void count_shapes(const kernels::Entry& entry, std::vector<Shape>& shapes, int most_kernels,
                  bool brief, Progress& at) {
  const auto each = [&](std::string_view what, auto&& wanted, auto&& counter) {
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (!shapes[i].wrong.empty() || !wanted(shapes[i])) continue;
      at.say(entry.name, what, i, shapes.size());
      try {
        counter(shapes[i], entry.make(shapes[i].args));
      } catch (const Broken& e) {
        shapes[i].wrong = e.what();
      }
    }
  };
  const auto all = [](const Shape&) { return true; };
  using kernels::Case;
  {
    Counter counter(load_group("roofline"), {.launches = launches_of(most_kernels)}, most_kernels);
    each("roofline", all, [&](Shape& s, const Case& c) { s.roofline = counter(c); });
  }
  if (brief) return;
  {
    WriteBack written_back;
    each("write-back", all,
         [&](Shape& s, const Case& c) { s.roofline->written_back = written_back(c); });
  }
  {
    Counter counter(load_group("l2"), {.launches = 1}, most_kernels);
    each("l2", all, [&](Shape& s, const Case& c) { s.l2 = counter(c); });
  }
  const auto unseen = [](const Shape& s) {
    return needs_tensor_group(s.op, s.roofline->group.chip);
  };
  if (std::none_of(shapes.begin(), shapes.end(),
                   [&](const Shape& s) { return s.wrong.empty() && unseen(s); }))
    return;
  Counter counter(load_group("tensor"), {.launches = 1}, most_kernels);
  each("tensor", unseen, [&](Shape& s, const Case& c) { s.tensor = counter(c); });
}

/// brief: times and HBM reads alone.
std::vector<Check> checks_of(const Shape& s, std::optional<Seconds> predicted, bool brief) {
  if (s.roofline) {
    std::vector<Check> checks = check_kernel(s.op, *s.roofline, s.tensor ? &*s.tensor : nullptr,
                                             predicted, s.l2 ? &*s.l2 : nullptr);
    if (brief)
      std::erase_if(checks, [](const Check& check) {
        return check.quantity != "time" && check.quantity != "HBM read";
      });
    return checks;
  }
  Check check{
      .quantity = "time", .unit = "s", .measured = s.time.median, .tolerance = kTimeTolerance};
  if (predicted) check.predicted = predicted->value;
  return {judged(std::move(check))};
}

/// What is the same for every kernel.
struct Setting {
  const Machine& machine;
  std::vector<KernelFit> fits;
  const ValidateOptions& options;
  Record* record;
};

void print(const Check& check) {
  const auto ratio = check.ratio();
  fmt::print("  {:<14} {:>15} {:>15} {:>9} {:>7}  {:<5} {}\n", check.quantity,
             check.predicted ? with_prefix(*check.predicted, check.unit) : "–",
             check.measured ? with_prefix(*check.measured, check.unit) : "–",
             ratio ? fmt::format("{:.4f}", *ratio) : "–",
             check.tolerance > 0 ? fmt::format("{:.0f} %", 100 * check.tolerance) : "exact",
             word(check.verdict), check.note);
}

/// Part B, one kernel at one shape, counted.
void validate_shape(const kernels::Entry& entry, const Shape& s, const Setting& with,
                    KernelSummary& summary, Tally& tally) {
  const auto predicted = is_load(entry.name)
                             ? std::nullopt
                             : launch_time(s.stages, with.machine, find_fit(with.fits, entry.name));
  std::optional<double> sm_clock, dram_clock;
  if (s.roofline) sm_clock = (*s.roofline)["sm_clock"], dram_clock = (*s.roofline)["dram_clock"];
  fmt::print("\n{} {}{}\n", entry.name, s.name,
             sm_clock ? fmt::format("   SM {:.0f} MHz", *sm_clock / 1e6) : "");
  const std::string shape = text_of(s.args);
  if (with.record)
    for (const Op& op : s.stages)
      with.record->row(
          {"work", entry.name, shape, "work", "", "", "", "", "", "", "", "", op_text(op)});
  const bool product = s.op.op_class == OpClass::gemm;
  const Bytes working_set = product ? 0.5 * s.op.work.hbm_read() : s.op.work.hbm();
  for (const Check& found : checks_of(s, predicted, with.options.brief)) {
    const Check check = summary.take(excused(found, entry.name, shape), working_set.value,
                                     static_cast<double>(kernels::gpu().l2_bytes));
    tally.add(check.verdict);
    print(check);
    if (with.record)
      with.record->row({"kernel", entry.name, shape, check.quantity, check.unit,
                        csv_number(check.predicted), csv_number(check.measured),
                        csv_number(check.ratio()), csv_number(check.tolerance), word(check.verdict),
                        csv_number(sm_clock), csv_number(dram_clock), check.note});
  }
}

/// A kernel at all its shapes, then what is judged over them.
void validate_entry(const kernels::Entry& entry, const Setting& with, Progress& at, Tally& tally,
                    std::vector<std::string>& lines) {
  std::vector<Shape> shapes;
  int most_kernels = 1;
  for (const kernels::Args& args : entry.shapes) try {
      const kernels::Case c = entry.make(args);
      Shape s{.args = args,
              .name = c.name,
              .stages = c.stages.empty() ? std::vector{c.op} : c.stages,
              .op = c.op};
      most_kernels = std::max(most_kernels, c.kernels_per_launch);
      if (with.options.verify && c.verify) {
        const kernels::Verdict v = c.verify();
        fmt::print("\n{}: error {:.2e} of {:.0e} allowed, {}\n", c.name, v.relative_error,
                   v.tolerance, v.ok ? "ok" : "WRONG " + v.detail);
        if (v.ok) tally.add(Verdict::ok);
        if (!v.ok) s.wrong = "a wrong kernel's counts mean nothing";
      }
      if (!with.options.counters) s.time = kernels::time_case(c, {.l2 = kernels::L2::cold});
      shapes.push_back(std::move(s));
    } catch (const kernels::NotOnThisGpu& e) {
      fmt::print("\n{} left out: {}\n", entry.name, e.what());
    }
  if (with.options.counters) count_shapes(entry, shapes, most_kernels, with.options.brief, at);

  KernelSummary summary;
  for (const Shape& s : shapes) {
    if (s.wrong.empty()) {
      validate_shape(entry, s, with, summary, tally);
      continue;
    }
    fmt::print("\n{} {}: OFF, {}\n", entry.name, text_of(s.args), s.wrong);
    tally.add(Verdict::off);
  }
  const bool product = entry.name.starts_with("gemm");
  for (const Check& found : summary.judge(product ? kProductReadTolerance : kReadTolerance)) {
    const Check check = excused(found, entry.name, "");
    tally.add(check.verdict);
    const std::size_t shapes =
        check.quantity.starts_with("time") ? summary.times() : summary.reads();
    lines.push_back(
        fmt::format("{:<18} {:<20} {:>6.1f} % over {:>2} shapes, {:>3.0f} % allowed  {:<5} {}",
                    entry.name, check.quantity, 100 * *check.measured, shapes,
                    100 * check.tolerance, word(check.verdict), check.note));
    if (with.record)
      with.record->row({"summary", entry.name, fmt::format("{} shapes", shapes), check.quantity,
                        check.unit, "", csv_number(check.measured), "", csv_number(check.tolerance),
                        word(check.verdict), "", "", check.note});
  }
}

}  // namespace

bool is_load(const std::string& name) {
  const auto loads = kernels::ceiling_entries();
  return std::any_of(loads.begin(), loads.end(),
                     [&](const kernels::Entry& e) { return e.name == name; });
}

void validate_kernels(std::span<const kernels::Entry* const> entries, const Machine& machine,
                      const ValidateOptions& options, Tally& tally, Record* record) {
  fmt::print("\nkernels, one cold launch    predicted        measured     ratio     tol\n");
  const std::string fits = fits_file(options.fits, machine.id);
  fmt::print("times by {}\n", fits.empty() ? "the profile's class constants" : fits);
  const Setting setting{machine, read_fits(fits), options, record};
  Progress at;
  std::vector<std::string> lines;
  for (const kernels::Entry* entry : entries) validate_entry(*entry, setting, at, tally, lines);
  fmt::print("\n");
  for (const std::string& line : lines) fmt::print("{}\n", line);
}

}  // namespace kvroof::probe
