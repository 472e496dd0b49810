// A kernel as the harness, the probe and the tests see it: inputs on the device, a launch, the
// model's op, and a check against the CPU oracle. One catalogue lists all of them.
#pragma once
#include <cuda_runtime.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/op.hpp"

namespace kvroof::kernels {

/// Named numbers that pick a shape: {"b", 4}, {"s_kv", 8192}, {"causal", 1}.
using Args = std::map<std::string, double, std::less<>>;

/// value of `key`, or `fallback` where the args do not name it
inline double arg(const Args& args, std::string_view key, double fallback) {
  const auto it = args.find(key);
  return it == args.end() ? fallback : it->second;
}

/// Outcome of one comparison with the double-precision CPU oracle on fresh random inputs and a
/// poisoned output.
struct Verdict {
  bool ok = false;
  double relative_error = 0;  // |out - ref| / |ref|, Frobenius
  double tolerance = 0;
  std::string detail;  // worst element, when not ok
};

/// One kernel at one shape. Device memory is owned by the closures.
struct Case {
  std::string name;  // "flash_v2 b4 h16/16 s8192 d128 causal"
  Op op;             // the model's cost of one launch(), same tile as the kernel
  std::function<void(cudaStream_t)> launch;  // idempotent: same inputs, same outputs, every time
  std::function<Verdict()> verify;           // empty: nothing to verify (pure load kernels)
  int kernels_per_launch = 1;
  /// Where the kernels of a launch have different limits: their ops, one after another, whose sum
  /// is `op`. Empty: `op` alone.
  std::vector<Op> stages;
};

/// A catalogue row. `shapes` are those that validate runs by default.
struct Entry {
  std::string name;   // also the file stem: kernels/attention/<name>.cu
  std::string title;  // one line for people
  std::vector<Args> shapes;
  std::function<Case(const Args&)> make;
};

const std::vector<Entry>& catalogue();
const Entry* find_entry(std::string_view name);

}  // namespace kvroof::kernels
