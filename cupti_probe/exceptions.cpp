#include "cupti_probe/exceptions.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace kvroof::probe {
namespace {

constexpr std::string_view kReads = "HBM read, p90 error";

// flash_spread.csv: eight allocations in one process, 32 to 50 MB written by one shape.
constexpr std::string_view kPages =
    "what is at work just fills L2, and which physical pages it got decides how much of it "
    "overflows "
    "its sets: bytes change from one allocation to the next, not from launch to launch "
    "(flash_spread.csv)";

constexpr Exception kTable[] = {
    {"gemm_bf16", "L2 to SM", "k=4104", 0.25,
     "rows of k·2 = 8208 bytes start inside a sector: a box of 128 bytes touches five of 32"},
    {"gemm_bf16", "HBM read", "m=4096 n=28672", 0.25,
     "after 22 waves the CTAs have drifted apart: 2.37 to 2.95 GB from day to day, the medians of "
     "ten launches each (gemm_spread.csv)"},
    {"gemm_bf16", "HBM read", "m=16384 n=8192", 0.11,
     "after 29 waves the CTAs have drifted apart: 2.37 to 2.59 GB from day to day, the medians of "
     "ten launches each (gemm_spread.csv)"},
    {"flash_v2", kReads, "", 0.03, kPages},
    {"flash_v3", "L2 to SM", "d_qk=256 d_v=256 s_q=512", 0.09,
     "7 tiles of 80 keys for 512: TMA fills rows past the last key with zeros, which travel as "
     "well"},
    {"ragged", "HBM read", "b=1 s_kv=131072", 0.25,
     "248 blocks in the last wave of 264: those alone on their SM run ahead of the others by more "
     "than L2 holds of caches of 67 MB; 723 to 840 MB from launch to launch"},
    {"softmax", kReads, "", 0.04,
     "rows at work that just fill L2: two blocks an SM on long rows keep closer together in their "
     "walks than eight on short ones"},
    {"flash_v1", kReads, "", 0.04, kPages},
    {"flash_v1", "HBM written", "h_q=132 s_q=512", 0.10, kPages},
    {"flash_v1", "HBM written", "h_q=132 s_q=1024", 0.25, kPages},
    {"flash_v1", "HBM written", "b=64 s_q=1024", 0.12, kPages},
    {"rope_append", kReads, "", 0.03,
     "requests at overlapping positions, one after another: rows of the table come from L2 as far "
     "as it still has them"},
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
