// One published measurement, whatever file it came from, in SI base units.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/dtype.hpp"

namespace kvroof::accuracy {

/// How the load was offered; decides the closed form.
enum class Mode {
  closed_loop,    // `concurrency` requests in flight, each replaced when it ends
  static_batch,   // a fixed batch prefilled and decoded in lock step
  offline,        // everything at time 0, as many at once as the engine takes
  open_loop,      // requests arrive at `request_rate`
  disaggregated,  // prefill and decode on pools of their own
  kernel          // one operator
};
constexpr std::string_view name(Mode m) {
  constexpr std::string_view names[] = {"closed loop", "static batch",  "offline",
                                        "open loop",   "disaggregated", "kernel"};
  return names[static_cast<int>(m)];
}

/// One of the pools of a deployment: `workers` engines of tp · pp GPUs, dp replicas each.
struct Pool {
  double workers = 1;
  int tp = 1, pp = 1, dp = 1;  // dp: attention replicas; tp is the attention's
  bool expert = false;         // experts spread over tp · dp ranks
  double batch = 0;            // per worker; 0: not recorded
  bool operator==(const Pool&) const = default;
};

/// `llm`, `hardware` and `engine` are as the file spells them; Context resolves them.
/// `value` is in seconds, tokens/s or requests/s.
struct Measurement {
  std::string file;
  int line = 0;
  std::string configuration;  // equal for rows of one deployment: splits go by it, never by row
  std::string hardware, engine, engine_version, llm;
  Mode mode = Mode::closed_loop;
  Pool pool;                    // all phases, or decode when disaggregated
  std::optional<Pool> prefill;  // disaggregated only
  int num_gpus = 0;             // of the whole deployment; 0: not recorded
  std::optional<Dtype> weights, kv;
  double isl = 0, osl = 0;
  double concurrency = 0;   // requests in flight, or the static batch; 0: not recorded
  double request_rate = 0;  // open loop, per second
  std::string metric;  // ttft | tpot | e2e | output_tok_s | total_tok_s | request_rate | latency
  double value = 0;
  std::map<std::string, double> more;        // what else the format's own closed form needs
  std::map<std::string, std::string> words;  // the same in words
};

/// A row that is not answered: what is known of it, and why.
struct Refusal {
  Measurement row;
  std::string reason;
};

using Read = std::variant<Measurement, Refusal>;

/// The predicted value in the measurement's unit, or the reason why there is none.
using Answer = std::variant<double, std::string>;

}  // namespace kvroof::accuracy
