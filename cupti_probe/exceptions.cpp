#include "cupti_probe/exceptions.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace kvroof::probe {
namespace {

constexpr std::string_view kReads = "HBM read, p90 error";

constexpr std::string_view kInStep =
    "blocks that march in step ask for the same K and V lines: requests of neighbouring SMs merge "
    "on "
    "their way, before L2 counts them";

constexpr Exception kTable[] = {
    {"gemm_bf16", "L2 to SM", "k=4104", 0.25,
     "rows of k·2 = 8208 bytes start inside a sector: a box of 128 bytes touches five of 32"},
    {"gemm_bf16", kReads, "", 0.07,
     "after some 20 waves the CTAs have drifted apart: one shape reads 2.37 to 2.58 GB from run to "
     "run"},
    {"gemm_fp8", kReads, "", 0.09,
     "waves of 27 to 37 MB, over which the sets of L2 overflow one after another (l2_cyclic.csv): "
     "ten launches of a shape spread by up to 4 %"},
    {"flash_v2", kReads, "", 0.045,
     "causal blocks of unequal length keep a few heads at work at once: up to 4 % of K/V comes "
     "twice"},
    {"gqa_decode", kReads, "", 0.04,
     "32 query heads on one K/V head fill two row tiles, whose blocks read the same K/V apart"},
    {"flash_v3", "L2 to SM", "causal=0", 0.53, kInStep},
    {"flash_v3_fp8", "L2 to SM", "causal=0", 0.35, kInStep},
    {"flash_v4", "L2 to SM", "causal=0", 0.40, kInStep},
    {"ladder", "L2 to SM", "causal=0", 0.40, kInStep},
    {"flash_v3", kReads, "", 0.05,
     "causal tiles of more heads than L2 holds are at work at a time"},
    {"flash_v3_fp8", kReads, "", 0.06,
     "causal tiles of more heads than L2 holds are at work at a time"},
    {"softmax", kReads, "", 0.25,
     "rows at work that just fill L2: blocks are anywhere in their walks, so the share that hits "
     "falls more slowly than l2_hit does"},
    {"flash_v1", kReads, "", 0.20, "rows of 35 MB: a few MB more or less in L2 decide what hits"},
    {"flash_v1", "HBM written", "h_q=132 s_q=512", 0.50, "the same: rows of 35 MB"},
    {"flash_v1", "HBM written", "b=64 s_q=1024", 0.20, "the same: rows of 35 MB"},
    {"flash_v1", "HBM written", "b=2 s_q=2048", 0.10,
     "the same: its last passes shrink through L2"},
    {"ragged", kReads, "", 0.10,
     "row tiles of one cache fall out of step where their SMs carry different loads, by more than "
     "L2 holds"},
};

bool holds(std::string_view when, std::string_view args) {
  const std::string padded = " " + std::string(args) + " ";
  while (!when.empty()) {
    const std::size_t end = std::min(when.find(' '), when.size());
    if (padded.find(" " + std::string(when.substr(0, end)) + " ") == std::string::npos)
      return false;
    when.remove_prefix(std::min(end + 1, when.size()));
  }
  return true;
}

}  // namespace

std::span<const Exception> exceptions() { return kTable; }

Check excused(Check check, std::string_view kernel, std::string_view args,
              std::span<const Exception> table) {
  if (check.verdict != Verdict::off || !check.measured) return check;
  // A line over all shapes measures the error itself.
  const double error = check.predicted ? std::abs(check.ratio().value_or(2) - 1) : *check.measured;
  for (const Exception& e : table)
    if (e.kernel == kernel && e.quantity == check.quantity && holds(e.when, args) &&
        error <= e.limit) {
      check.verdict = Verdict::known;
      check.note = e.reason;
      return check;
    }
  return check;
}

}  // namespace kvroof::probe
