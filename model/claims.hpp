// Published claims, recomputed: the sentence as it circulates, the figures it states, and the same
// figures from the model's own counts. The verdict follows from the two; nobody types it in.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/fields.hpp"
#include "model/scenario.hpp"

namespace kvroof {
struct ReadContext;
}

namespace kvroof::claims {

enum class Kind {
  bytes,
  bandwidth,
  throughput,
  seconds,
  intensity,   // FLOP/B
  flops,       // FLOP
  share,       // %, held as a fraction
  factor,      // x
  token_rate,  // tok/s
  count,       // tokens, sequences, heads, requests, USD
  truth        // yes or no
};

/// A figure with its unit: "25 GB", "42 ms", "24 tok/s", "147 FLOP/B", "76 %", "4 x",
/// "63 prefills", "yes". `value` is in base units; `scale` is what one printed unit is worth.
struct Figure {
  using custom_field = void;
  Kind kind = Kind::count;
  double value = 0;
  std::string unit;
  double scale = 1;
  bool operator==(const Figure&) const = default;
};
std::optional<Figure> parse_figure(std::string_view text);
/// The figure in its own unit with `digits` significant digits: "2.68 GB", "yes".
std::string print(const Figure& f, int digits = 3);
void read_custom(const Node& n, const std::string& path, const Field& f, Figure& out,
                 ReadContext& c);

/// What the claim's figure says about the true one.
enum class Sense { equal, at_most, at_least };

struct Stated {
  std::string what;
  Figure value;
  Sense sense = Sense::equal;
};

/// One named computation (computations()) with its arguments. Two computations of the same `what`
/// are two readings of one stated figure.
struct Compute {
  std::string what, reading, quantity;
  std::string unit;  // printed in; else that of the stated figure
  std::string model, hardware, over, source;
  std::optional<Dtype> dtype, kv_dtype, to_dtype;
  std::optional<double> context, requests, gpus, utilisation, batch, guesses, acceptance, cost,
      block, layers, h_q, h_kv, d, first_wave;
  std::optional<Figure> memory, value, to;
  std::optional<KernelCall> kernel, to_kernel;
};

struct Claim {
  std::string schema;
  int id = 0;
  std::string name;    // file stem
  std::string claim;   // the sentence
  std::string source;  // where it is found
  double tolerance = 0.01, rounding = 0.1;
  std::vector<Stated> stated;
  std::vector<Compute> compute, conditions;
  std::string why;
};

/// Reads and checks a claim: every key known, every stated figure computed at least once in its own
/// kind, every computation given the arguments it needs and no other.
Claim load_claim(const std::string& path);
Claim claim_from_node(const Node& root);

/// Claim files of the first root that has scenarios/claims, by number.
std::vector<std::string> claim_files(const std::vector<std::string>& roots);

/// From mild to bad; a claim is as good as its worst figure.
enum class Verdict { right, rounded, conditional, wrong };

struct Judged {
  std::string what;
  std::optional<Stated> stated;
  struct Reading {
    std::string label;
    Figure value;
    bool agrees = false;
  };
  std::vector<Reading> readings;
  Verdict verdict = Verdict::right;
  double factor = 1;      // wrong: how far off the nearest reading is, >= 1; 0 for yes/no
  std::string unit_slip;  // "GiB read as GB": the digits are right in the other unit
  bool condition = false;
};

/// stated / computed = r, off = max(r, 1/r); a bound only counts against the claim when broken.
///   right        off - 1 <= tolerance            rounded   off - 1 <= rounding
///   conditional  some reading agrees and another does not, or a condition is false
///   wrong        no reading agrees; the factor is that of the nearest reading
struct Judgement {
  std::vector<Judged> rows;
  Verdict verdict = Verdict::right;
  double factor = 1;
  /// Index of the row that decided.
  std::size_t decisive = 0;
};
Judgement judge(const Claim& claim);

/// "right", "rounded", "conditional", "wrong by 9.8x", "wrong".
std::string text(Verdict verdict, double factor);

/// Evaluates one computation, in base units.
Figure evaluate(const Compute& c);

}  // namespace kvroof::claims
