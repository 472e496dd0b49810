#include "model/claims.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "model/claim_quantities.hpp"
#include "model/reader.hpp"
#include "model/scenario_fields.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

namespace kvroof {
template <>
struct Words<claims::Sense> {
  static constexpr std::string_view names[] = {"equal", "at_most", "at_least"};
};
}  // namespace kvroof

namespace kvroof::claims {
namespace fs = std::filesystem;
namespace {

struct PlainUnit {
  std::string_view symbol;
  Kind kind;
  double scale;
};
/// Units that quantity.hpp does not know, longest symbol first where one ends in another.
constexpr std::array kPlain{
    PlainUnit{"FLOP/B", Kind::intensity, 1}, PlainUnit{"TFLOP", Kind::flops, tera},
    PlainUnit{"GFLOP", Kind::flops, giga},   PlainUnit{"FLOP", Kind::flops, 1},
    PlainUnit{"%", Kind::share, 0.01},       PlainUnit{"x", Kind::factor, 1},
    PlainUnit{"tok/s", Kind::token_rate, 1}, PlainUnit{"tokens", Kind::count, 1},
    PlainUnit{"requests", Kind::count, 1},   PlainUnit{"sequences", Kind::count, 1},
    PlainUnit{"heads", Kind::count, 1},      PlainUnit{"prefills", Kind::count, 1},
    PlainUnit{"USD", Kind::count, 1}};
constexpr std::array kMeasures{
    std::pair{Measure::bytes, Kind::bytes}, std::pair{Measure::bandwidth, Kind::bandwidth},
    std::pair{Measure::throughput, Kind::throughput}, std::pair{Measure::seconds, Kind::seconds}};

std::optional<Figure> unit_figure(std::string_view symbol) {
  for (const PlainUnit& u : kPlain)
    if (u.symbol == symbol) return Figure{u.kind, 0, std::string(symbol), u.scale};
  for (const auto& [measure, kind] : kMeasures)
    for (const Unit& u : units(measure))
      if (u.symbol == symbol) return Figure{kind, 0, std::string(symbol), u.scale};
  return {};
}

}  // namespace

template <class V>
void fields(V& v, Stated& s) {
  v("what", s.what, {.doc = "what the figure is of", .required = true});
  v("value", s.value, {.doc = "the figure as stated, with its unit", .required = true});
  v("sense", s.sense, {.doc = "equal, at_most or at_least"});
}

template <class V>
void fields(V& v, Compute& c) {
  v("what", c.what, {.doc = "what the figure is of", .required = true});
  v("reading", c.reading, {.doc = "how the stated figure is understood"});
  v("quantity", c.quantity, {.doc = "a named computation", .required = true});
  v("unit", c.unit, {.doc = "unit to print in, where nothing is stated"});
  v("model", c.model, {.doc = "network"});
  v("hardware", c.hardware, {.doc = "GPU"});
  v("over", c.over, {.doc = "GPU that is compared with"});
  v("source", c.source, {.doc = "where a published figure stands"});
  v("dtype", c.dtype, {.doc = "format of weights, or the tensor path"});
  v("kv_dtype", c.kv_dtype, {.doc = "format of the cache"});
  v("to_dtype", c.to_dtype, {.doc = "format that is compared with"});
  for (const auto& [key, member] : {std::pair{"context", &Compute::context},
                                    {"requests", &Compute::requests},
                                    {"gpus", &Compute::gpus},
                                    {"batch", &Compute::batch},
                                    {"guesses", &Compute::guesses},
                                    {"block", &Compute::block},
                                    {"layers", &Compute::layers},
                                    {"h_q", &Compute::h_q},
                                    {"h_kv", &Compute::h_kv},
                                    {"d", &Compute::d},
                                    {"first_wave", &Compute::first_wave}})
    v(key, c.*member, {.doc = "a number of them", .min = 1, .max = 1e9, .whole = true});
  for (const auto& [key, member] : {std::pair{"utilisation", &Compute::utilisation},
                                    {"acceptance", &Compute::acceptance},
                                    {"cost", &Compute::cost}})
    v(key, c.*member, {.doc = "a share", .min = 0, .max = 1});
  v("memory", c.memory, {.doc = "memory of one GPU"});
  v("value", c.value, {.doc = "a figure"});
  v("to", c.to, {.doc = "a figure that is compared with"});
  v("kernel", c.kernel, {.doc = "an attention call"});
  v("to_kernel", c.to_kernel, {.doc = "an attention call that is compared with"});
}

template <class V>
void fields(V& v, Claim& c) {
  v("schema", c.schema, {.doc = "kvroof/claim/v1", .required = true});
  v("id", c.id, {.doc = "number of the claim", .min = 1, .max = 999, .required = true});
  v("claim", c.claim, {.doc = "the sentence as it circulates", .required = true});
  v("source", c.source, {.doc = "where it is found", .required = true});
  v("tolerance", c.tolerance, {.doc = "off by at most this: right", .min = 0, .max = 1});
  v("rounding", c.rounding, {.doc = "off by at most this: rounded", .min = 0, .max = 1});
  v("stated", c.stated, {.doc = "the figures it gives", .required = true});
  v("compute", c.compute, {.doc = "the same figures, computed", .required = true});
  v("conditions", c.conditions, {.doc = "what must hold for the claim to mean anything"});
  v("why", c.why, {.doc = "one or two sentences", .required = true});
}

namespace {

/// Arguments a computation may take: every key but the ones that describe it.
bool describes(std::string_view key) { return lists("what reading quantity unit", key); }

std::string problem_with_figures(const Compute& c) {
  const auto is = [](const std::optional<Figure>& f, Kind k) { return !f || f->kind == k; };
  if (!is(c.memory, Kind::bytes)) return "memory: expected bytes";
  if (lists("read_time rate_of_read", c.quantity) && !is(c.value, Kind::bytes))
    return "value: expected bytes";
  if (c.quantity == "share_of_peak" && !is(c.value, Kind::throughput))
    return "value: expected FLOP/s";
  if (c.quantity == "per_gpu" && !is(c.value, Kind::token_rate)) return "value: expected tok/s";
  for (const std::optional<KernelCall>* k : {&c.kernel, &c.to_kernel}) {
    if (!*k) continue;
    if (!attention::find_variant((*k)->variant))
      return "unknown attention variant " + json_quote((*k)->variant);
    if (std::fmod((*k)->shape.h_q, (*k)->shape.h_kv) != 0)
      return "kernel.h_kv: expected a divisor of h_q";
  }
  if (c.value && c.to && c.value->kind != c.to->kind) return "to: expected the unit of value";
  return "";
}

class Checker {
 public:
  Checker(const Node& root, const Claim& claim, Errors& errors)
      : root_(root), claim_(claim), errors_(errors) {}

  void run() {
    if (claim_.schema != "kvroof/claim/v1") refuse("schema", "expected kvroof/claim/v1");
    check_list("compute", claim_.compute, true);
    check_list("conditions", claim_.conditions, false);
    for (std::size_t i = 0; i < claim_.stated.size(); ++i) {
      const std::string& what = claim_.stated[i].what;
      if (std::none_of(claim_.compute.begin(), claim_.compute.end(),
                       [&](const Compute& c) { return c.what == what; }))
        refuse(fmt::format("stated[{}].what", i), "nothing computes " + json_quote(what));
    }
  }

 private:
  void refuse(const std::string& path, const std::string& message) {
    errors_.add(root_.mark, path, message);
  }

  void check_list(const std::string& list, const std::vector<Compute>& all, bool figures) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::string path = fmt::format("{}[{}]", list, i);
      const Node& node = root_.find(list)->items[i];
      const Computation* q = find_computation(all[i].quantity);
      if (!q) {
        std::vector<std::string_view> names;
        for (const Computation& known : computations()) names.push_back(known.name);
        errors_.add(node.mark, path,
                    "unknown quantity " + json_quote(all[i].quantity) +
                        did_you_mean(all[i].quantity, names));
        continue;
      }
      arguments(node, path, *q);
      if (const std::string problem = problem_with_figures(all[i]); !problem.empty())
        errors_.add(node.mark, path, problem);
      const Kind kind = q->name == "published" && all[i].value ? all[i].value->kind : q->kind;
      if (figures) unit(node, path, all[i], kind);
      else if (kind != Kind::truth) errors_.add(node.mark, path, "a condition is a yes or no");
    }
  }

  void arguments(const Node& node, const std::string& path, const Computation& q) {
    for (const Node::Key& key : node.keys)
      if (!describes(key.name) && !lists(q.needs, key.name) && !lists(q.takes, key.name))
        errors_.add(
            key.mark, path,
            fmt::format("{} takes no {}; it takes {} {}", q.name, key.name, q.needs, q.takes));
    for (std::string_view needs = q.needs; !needs.empty();) {
      const std::size_t end = std::min(needs.find(' '), needs.size());
      const std::string_view word = needs.substr(0, end);
      if (!node.find(word)) errors_.add(node.mark, path, fmt::format("{} needs {}", q.name, word));
      needs.remove_prefix(std::min(end + 1, needs.size()));
    }
  }

  void unit(const Node& node, const std::string& path, const Compute& c, Kind kind) {
    for (const Stated& s : claim_.stated)
      if (s.what == c.what && s.value.kind != kind)
        errors_.add(node.mark, path, "stated in " + s.value.unit + ", computed as something else");
    if (c.unit.empty()) return;
    const std::optional<Figure> u = unit_figure(c.unit);
    if (!u || u->kind != kind)
      errors_.add(node.mark, path + ".unit", "no unit of this quantity: " + json_quote(c.unit));
  }

  const Node& root_;
  const Claim& claim_;
  Errors& errors_;
};

/// How far apart two figures are, as a factor of at least 1; infinite when only one is zero.
double off(double stated, double computed) {
  if (stated == computed) return 1;
  if (stated <= 0 || computed <= 0) return kInfinity;
  return std::max(stated / computed, computed / stated);
}

/// The nearest thing to a right answer: a decimal unit printed for a binary one, or the reverse.
std::string unit_slip(const Figure& stated, double computed, double tolerance) {
  if (stated.kind != Kind::bytes) return "";
  constexpr std::pair<std::string_view, std::string_view> pairs[] = {
      {"KB", "KiB"}, {"MB", "MiB"}, {"GB", "GiB"}, {"TB", "TiB"}};
  for (const auto& [decimal, binary] : pairs)
    for (const auto& [written, meant] : {std::pair{decimal, binary}, {binary, decimal}}) {
      const std::optional<Figure> other = unit_figure(meant);
      if (stated.unit == written &&
          off(stated.value / stated.scale * other->scale, computed) - 1 <= tolerance)
        return fmt::format("{} written as {}", meant, written);
    }
  return "";
}

Judged judge(const Claim& claim, const Stated& s) {
  Judged row{.what = s.what, .stated = s};
  double nearest = kInfinity;
  bool all = true, any = false, exact = true;
  for (const Compute& c : claim.compute) {
    if (c.what != s.what) continue;
    Figure value = evaluate(c);
    value.unit = s.value.unit, value.scale = s.value.scale;
    const bool bound_kept = (s.sense == Sense::at_most && value.value <= s.value.value) ||
                            (s.sense == Sense::at_least && value.value >= s.value.value);
    const double apart = bound_kept ? 1 : off(s.value.value, value.value);
    const bool agrees = apart - 1 <= claim.rounding;
    all = all && agrees, any = any || agrees;
    exact = exact && apart - 1 <= claim.tolerance;
    nearest = std::min(nearest, apart);
    if (row.unit_slip.empty() && apart - 1 > claim.tolerance)
      row.unit_slip = unit_slip(s.value, value.value, claim.tolerance);
    row.readings.push_back({c.reading, value, agrees});
  }
  row.verdict = !any    ? Verdict::wrong
                : !all  ? Verdict::conditional
                : exact ? Verdict::right
                        : Verdict::rounded;
  if (row.verdict == Verdict::wrong) row.factor = std::isfinite(nearest) ? nearest : 0;
  return row;
}

}  // namespace

std::optional<Figure> parse_figure(std::string_view text) {
  if (text == "yes" || text == "no") return Figure{Kind::truth, text == "yes" ? 1.0 : 0.0, "", 1};
  const std::size_t blank = text.find(' ');
  if (blank == text.npos) return {};
  const std::optional<double> number = parse_number(text.substr(0, blank));
  std::optional<Figure> f = unit_figure(text.substr(blank + 1));
  if (!number || !f) return {};
  f->value = *number * f->scale;
  return f;
}

std::string print(const Figure& f, int digits) {
  if (f.kind == Kind::truth) return f.value != 0 ? "yes" : "no";
  const double shown = f.value / f.scale;
  // Large numbers keep their whole digits instead of an exponent.
  const bool large = std::fabs(shown) >= std::pow(10, digits);
  return large ? fmt::format("{:.0f} {}", shown, f.unit)
               : fmt::format("{:.{}g} {}", shown, digits, f.unit);
}

void read_custom(const Node& n, const std::string& path, const Field&, Figure& out,
                 ReadContext& c) {
  const std::optional<Figure> f = n.is_scalar() ? parse_figure(n.text) : std::nullopt;
  if (f) out = *f;
  else
    c.errors.add(
        n.mark, path,
        "expected a figure with its unit such as 25 GB, 24 tok/s, 76 %, 4 x, or yes, got " +
            described(n));
}

Claim claim_from_node(const Node& root) {
  Errors errors;
  std::set<std::string, std::less<>> given;
  ReadContext context{errors, given};
  Claim claim;
  read_fields(root, "", claim, context);
  errors.throw_if_any();
  Checker(root, claim, errors).run();
  errors.throw_if_any();
  if (root.mark.source) claim.name = fs::path(root.mark.source->name).stem().string();
  return claim;
}

Claim load_claim(const std::string& path) { return claim_from_node(load_yaml(path)); }

std::vector<std::string> claim_files(const std::vector<std::string>& roots) {
  for (const std::string& root : roots) {
    const fs::path folder = fs::path(root) / "scenarios" / "claims";
    std::error_code none;
    if (!fs::is_directory(folder, none)) continue;
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == ".yaml") files.push_back(entry.path().string());
    std::sort(files.begin(), files.end());  // names start with the number, two digits
    return files;
  }
  return {};
}

Figure evaluate(const Compute& c) {
  const Computation& q = *find_computation(c.quantity);
  Figure f = c.unit.empty() ? Figure{} : *unit_figure(c.unit);
  if (c.unit.empty() && c.value && q.name == "published") f = *c.value;
  f.kind = q.name == "published" ? c.value->kind : q.kind;
  f.value = q.value(c);
  return f;
}

Judgement judge(const Claim& claim) {
  Judgement result;
  for (const Stated& s : claim.stated) result.rows.push_back(judge(claim, s));
  for (const Compute& c : claim.compute) {
    const bool stated = std::any_of(claim.stated.begin(), claim.stated.end(),
                                    [&](const Stated& s) { return s.what == c.what; });
    if (!stated) result.rows.push_back({.what = c.what, .readings = {{c.reading, evaluate(c)}}});
  }
  for (const Compute& c : claim.conditions) {
    Judged row{.what = c.what, .readings = {{c.reading, evaluate(c)}}, .condition = true};
    row.readings[0].agrees = row.readings[0].value.value != 0;
    if (!row.readings[0].agrees) row.verdict = Verdict::conditional;
    result.rows.push_back(row);
  }
  for (std::size_t i = 0; i < result.rows.size(); ++i) {
    const Judged& row = result.rows[i];
    const bool worse = row.verdict > result.verdict ||
                       (row.verdict == Verdict::wrong && row.factor > result.factor);
    if (!worse) continue;
    result.verdict = row.verdict, result.factor = row.factor, result.decisive = i;
  }
  return result;
}

std::string text(Verdict verdict, double factor) {
  if (verdict == Verdict::right) return "right";
  if (verdict == Verdict::rounded) return "rounded";
  if (verdict == Verdict::conditional) return "conditional";
  if (factor == 0) return "wrong";
  return factor < 9.95 ? fmt::format("wrong by {:.1f}x", factor)
                       : fmt::format("wrong by {:.0f}x", factor);
}

}  // namespace kvroof::claims
