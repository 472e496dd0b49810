#include "cupti_probe/run_ceilings.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "cupti_probe/ceiling_keys.hpp"
#include "cupti_probe/error.hpp"
#include "kernels/device.hpp"

namespace kvroof::probe {
namespace {

/// A load kernel's counts against its stated work; stricter than for kernels of an LLM, since its
/// traffic is known by construction.
Confirmation confirm(const std::string& entry, const kernels::Args& args) {
  const kernels::Entry* row = kernels::find_entry(entry);
  if (!row) throw Broken(fmt::format("ceiling kernel '{}' is not in the catalogue", entry));
  const kernels::Case c = row->make(args);
  const Op& op = c.op;
  const CountOptions once{.launches = 1, .write_back = op.work.hbm_written() > Bytes{}};
  const Counts roofline = count(c, load_group("roofline"), once);
  Confirmation out{.entry = entry, .args = args};
  out.sm_clock_hz = roofline["sm_clock"].value_or(0);
  out.dram_clock_hz = roofline["dram_clock"].value_or(0);

  std::optional<Counts> tensor;
  if (needs_tensor_group(op, roofline.group.chip)) tensor = count(c, load_group("tensor"), once);
  for (Check check : check_kernel(op, roofline, tensor ? &*tensor : nullptr, {})) {
    if (check.quantity == "time" || check.verdict == Verdict::open) {
      if (check.quantity != "shared memory") continue;
      // Loads and wgmma operands are whole 128-byte cycles; warps add a few of their own.
      check.tolerance = 0.001;
      check.slack = 128 * 1024;
    }
    if (check.quantity.starts_with("HBM")) {
      // Judged where the rate is made of it: L2 kernels also miss, pipe kernels read their code.
      if (op.work.l2_to_sm > 2 * op.work.hbm_read() || *check.predicted == 0) continue;
      check.tolerance = 0.005;
    }
    if (check.quantity == "exponentials") check.tolerance = 1e-4;  // conversions in the epilogue
    out.checks.push_back(judged(std::move(check)));
  }
  if (op.work.fp32 > Flops{})
    out.checks.push_back(check_fma(op, count(c, load_group("fp32"), once)));
  return out;
}

}  // namespace

bool Confirmation::ok() const {
  return std::none_of(checks.begin(), checks.end(),
                      [](const Check& c) { return c.verdict == Verdict::off; });
}

std::string fault(const kernels::Ceiling& row, const CeilingRun& run) {
  // The clock is that of one launch, the time a median of launches whose clock wanders under a
  // power limit: half the spread is allowed, and a part in 300 for two ways of reading time.
  if (row.bound > 0 && row.value.median > (1.003 + row.value.spread() / 2) * row.bound)
    return fmt::format("above its bound {}", row.bound_rule);
  for (const Confirmation& c : run.confirmed) {
    if (c.entry != row.entry || c.args != row.args) continue;
    for (const Check& check : c.checks)
      if (check.verdict == Verdict::off)
        return fmt::format("{} counted {:.6f} of intended", check.quantity,
                           check.ratio().value_or(0));
  }
  return {};
}

std::vector<kernels::Ceiling> sound_rows(const CeilingRun& run) {
  std::vector<kernels::Ceiling> sound;
  for (const kernels::Ceiling& c : run.rows)
    if (fault(c, run).empty()) sound.push_back(c);
  return sound;
}

std::vector<std::string> unsound_names(const CeilingRun& run) {
  std::vector<std::string> names;
  const std::vector<kernels::Ceiling> sound = sound_rows(run);
  for (const kernels::Ceiling& c : run.rows)
    if (!best(c.name, sound) && std::find(names.begin(), names.end(), c.name) == names.end())
      names.push_back(c.name);
  return names;
}

void check_ceiling_groups(const std::vector<std::string>& only) {
  std::vector<std::string> known;
  for (const kernels::CeilingGroup& group : kernels::ceiling_groups()) known.push_back(group.name);
  for (const std::string& name : only)
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw UserError(fmt::format("--only: expected {}, got '{}'", fmt::join(known, ", "), name));
}

CeilingRun run_ceilings(const std::vector<std::string>& only, bool counters,
                        const std::function<void(const std::string&)>& progress) {
  check_ceiling_groups(only);
  const auto wanted = [&](const std::string& name) {
    return only.empty() || std::find(only.begin(), only.end(), name) != only.end();
  };

  CeilingRun run;
  bool opened = !counters;
  for (const kernels::CeilingGroup& group : kernels::ceiling_groups()) {
    // No permission is better learnt now than after a minute;
    // but launch latency comes before CUPTI.
    if (!opened && group.name != "launch") {
      target();
      opened = true;
    }
    if (!wanted(group.name)) continue;
    if (group.name == "launch" && !latency_is_clean())
      throw Broken("launch latency cannot be measured after counters were used in this process");
    progress(group.title);
    try {
      for (kernels::Ceiling& c : group.measure()) run.rows.push_back(std::move(c));
    } catch (const kernels::NotOnThisGpu& e) {
      run.left_out.push_back(fmt::format("{}: {}", group.name, e.what()));
    }
  }
  if (!counters) return run;

  progress("Counters of the kernels behind the best figures");
  std::map<std::string, std::vector<const kernels::Ceiling*>> by_name;
  for (const kernels::Ceiling& c : run.rows) by_name[c.name].push_back(&c);
  for (auto& [name, rows] : by_name) {
    std::stable_sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) {
      return more_is_better(*a) ? a->value.median > b->value.median
                                : a->value.median < b->value.median;
    });
    // The first that its counters confirm; those before it are not believed.
    for (const kernels::Ceiling* row : rows) {
      const bool done = std::any_of(
          run.confirmed.begin(), run.confirmed.end(),
          [&](const Confirmation& c) { return c.entry == row->entry && c.args == row->args; });
      if (!row->entry.empty() && !done) run.confirmed.push_back(confirm(row->entry, row->args));
      if (fault(*row, run).empty()) break;
    }
  }
  return run;
}

}  // namespace kvroof::probe
