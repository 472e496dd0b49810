#include "cupti_probe/exceptions.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace kvroof::probe {
namespace {

constexpr std::string_view kReads = "HBM read, p90 error";

constexpr std::string_view kDirty =
    "rows of 35 MB: of those that leave L2, written ones leave before clean ones";

constexpr Exception kTable[] = {
    {"gemm_bf16", "L2 to SM", "k=4104", 0.25,
     "rows of k·2 = 8208 bytes start inside a sector: a box of 128 bytes touches five of 32"},
    {"gemm_bf16", kReads, "", 0.07,
     "after some 20 waves the CTAs have drifted apart: one shape reads 2.37 to 2.58 GB from run to "
     "run"},
    {"gemm_fp8", kReads, "", 0.09,
     "waves of 27 to 37 MB, over which the sets of L2 overflow one after another (l2_cyclic.csv): "
     "ten launches of a shape spread by up to 4 %"},
    {"flash_v2", kReads, "", 0.03,
     "waves of 35 MB without a mask: one shape reads 228 to 253 MB from run to run, another 246 to "
     "251 MB in ten launches"},
    {"flash_v3", "L2 to SM", "d_qk=256 d_v=256 s_q=512", 0.09,
     "7 tiles of 80 keys for 512: TMA fills rows past the last key with zeros, which travel as "
     "well"},
    {"ragged", "HBM read", "b=1 s_kv=131072", 0.25,
     "248 blocks in the last wave of 264: those alone on their SM run ahead of the others by more "
     "than L2 holds of caches of 67 MB; 723 to 840 MB from launch to launch"},
    {"softmax", kReads, "", 0.04,
     "rows at work that just fill L2: two blocks an SM on long rows keep closer together in their "
     "walks than eight on short ones"},
    {"flash_v1", kReads, "", 0.05,
     "rows of 36 MB: one shape reads 60 to 81 MB from run to run, and in ten launches of a run the "
     "same within 0.5 %"},
    {"flash_v1", "HBM written", "h_q=132 s_q=512", 0.40, kDirty},
    {"flash_v1", "HBM written", "h_q=132 s_q=1024", 0.60, kDirty},
    {"flash_v1", "HBM written", "b=64 s_q=1024", 0.40, kDirty},
    {"flash_v1", "HBM written", "b=2 s_q=2048", 0.12, kDirty},
    {"rope_append", kReads, "", 0.03,
     "second and third blocks of a token run after the first ones of all tokens: rows of the table "
     "come again, as far as L2 has forgotten them"},
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
