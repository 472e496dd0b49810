#include "model/scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "model/engine.hpp"
#include "model/printer.hpp"
#include "model/reader.hpp"
#include "model/scenario_fields.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

namespace kvroof {
namespace {

namespace fs = std::filesystem;

std::vector<std::string_view> engine_words() {
  std::vector<std::string_view> words;
  for (const EngineTraits& e : engines()) words.push_back(e.name);
  return words;
}

void set_engine_defaults(Scenario& s, const EngineTraits& e) {
  Policy& p = s.policy;
  p.engine = e.name;
  p.block_size = e.block_size;
  p.max_num_seqs = e.max_num_seqs;
  p.max_num_batched_tokens = e.max_num_batched_tokens;
  switch (e.rule) {
    case MemoryRule::total:
      p.gpu_memory_utilization = e.memory_fraction;
      return;
    case MemoryRule::static_share:
      p.mem_fraction_static = e.memory_fraction;
      return;
    case MemoryRule::free_after_weights:
      p.kv_cache_free_gpu_memory_fraction = e.memory_fraction;
      return;
  }
}

constexpr std::array kPresets{
    SloPreset{"mlperf-llama3.1-8b-server", 2000, 100},
    SloPreset{"mlperf-llama3.1-8b-interactive", 500, 30},
    SloPreset{"mlperf-llama2-70b-server", 2000, 200},
    SloPreset{"mlperf-llama2-70b-interactive", 450, 40},
    SloPreset{"mlperf-llama3.1-405b-server", 6000, 175},
    SloPreset{"mlperf-llama3.1-405b-interactive", 4500, 80},
    SloPreset{"mlperf-mixtral-8x7b-server", 2000, 200},
    SloPreset{"mlperf-deepseek-r1-server", 2000, 80},
    SloPreset{"mlperf-deepseek-r1-interactive", 1500, 15},
    SloPreset{"mlperf-gpt-oss-120b-server", 3000, 80},
    SloPreset{"mlperf-gpt-oss-120b-interactive", 2000, 20},
};

/// Rules that no single field can hold.
class Checks {
 public:
  Checks(const Node& root, const Scenario& s, Errors& errors)
      : root_(root), s_(s), errors_(errors) {}

  void refuse(std::string_view path, std::string_view message) {
    errors_.add(mark_of(path), path, message);
  }
  /// Of the deepest part of the path that stands in the file.
  Mark mark_of(std::string_view path) const {
    const Node* n = &root_;
    while (!path.empty()) {
      const std::size_t dot = std::min(path.find('.'), path.size());
      const std::string_view part = path.substr(0, dot);
      const std::size_t bracket = std::min(part.find('['), dot);
      const Node* next = n->find(part.substr(0, bracket));
      if (!next) break;
      n = next;
      if (bracket < dot) {
        std::size_t i = 0;
        std::from_chars(part.data() + bracket + 1, part.data() + dot, i);
        if (i >= n->items.size()) break;
        n = &n->items[i];
      }
      path.remove_prefix(std::min(dot + 1, path.size()));
    }
    return n->mark;
  }

  void lengths(const char* path, const Lengths& l) {
    if (!s_.was_given(path)) return;
    if (!l.given())
      return refuse(path,
                    "expected a number of tokens, a mean, a p50 or a trace, got none of them");
    if (!l.trace.empty() && (l.mean || l.p50))
      refuse(path, "expected either a trace or a distribution, got both");
    const std::array ordered{l.min, l.p50, l.p95, l.p99, l.max};
    double last = 0;
    for (const auto& x : ordered) {
      if (x && *x < last) return refuse(path, "expected min <= p50 <= p95 <= p99 <= max");
      last = x.value_or(last);
    }
    if (l.mean && ((l.min && *l.mean < *l.min) || (l.max && *l.mean > *l.max)))
      refuse(path, "expected the mean between min and max");
    if (l.distribution == LengthKind::uniform && !(l.min && l.max))
      refuse(path, "a uniform distribution needs min and max");
  }

  void memory_share(const EngineTraits& engine) {
    struct Share {
      const char* path;
      MemoryRule rule;
    };
    for (const Share& share :
         {Share{"serving.gpu_memory_utilization", MemoryRule::total},
          Share{"serving.mem_fraction_static", MemoryRule::static_share},
          Share{"serving.kv_cache_free_gpu_memory_fraction", MemoryRule::free_after_weights}})
      if (s_.was_given(share.path) && engine.rule != share.rule)
        for (const EngineTraits& e : engines())
          if (e.rule == share.rule)
            refuse(share.path,
                   fmt::format("belongs to engine {}, but the engine is {}; the engines' memory "
                               "shares are different quantities and are not converted",
                               e.name, engine.name));
  }

  void kernel(const std::string& path, const KernelCall& k) {
    const AttentionShape& x = k.shape;
    if (std::fmod(x.h_q, x.h_kv) != 0)
      refuse(path + ".h_kv",
             fmt::format("expected a divisor of the {} query heads, got {}", x.h_q, x.h_kv));
    if (x.causal && x.s_q > x.s_kv)
      refuse(path + ".s_kv",
             fmt::format("expected at least the {} new tokens, got {}", x.s_q, x.s_kv));
    std::vector<std::string_view> names;
    for (const attention::Variant& v : attention::variants()) names.push_back(v.name);
    if (!attention::find_variant(k.variant))
      refuse(path + ".variant",
             "unknown attention variant " + json_quote(k.variant) + did_you_mean(k.variant, names));
  }

  void workload() {
    if (s_.model.empty()) {
      if (!s_.kernel && s_.kernels.empty())
        refuse("model", "expected a network, or a kernel to evaluate, got nothing");
      return;
    }
    const Workload& w = s_.workload;
    const bool lengths_given =
        s_.was_given("workload.input_len") && s_.was_given("workload.output_len");
    if (w.batch.has_value() != w.context.has_value())
      refuse("workload", "expected batch and context together");
    else if (!lengths_given && !w.batch)
      refuse("workload", "expected input_len and output_len, or batch and context");
  }

 private:
  const Node& root_;
  const Scenario& s_;
  Errors& errors_;
};

/// What `over` gives wins; mappings are merged key by key, everything else is replaced.
void merge_under(Node& over, const Node& base) {
  if (!over.is_map() || !base.is_map()) return;
  for (std::size_t i = 0; i < base.keys.size(); ++i) {
    if (Node* mine = over.find(base.keys[i].name)) {
      merge_under(*mine, base.items[i]);
    } else {
      over.keys.push_back(base.keys[i]);
      over.items.push_back(base.items[i]);
    }
  }
}

}  // namespace

std::span<const SloPreset> slo_presets() { return kPresets; }

double Lengths::mean_tokens() const {
  if (mean) return *mean;
  if (!p50) return 0;
  if (!p95) return *p50;
  constexpr double kZ95 = 1.6448536269514722;  // standard normal quantile
  const double sigma = std::log(*p95 / *p50) / kZ95;
  return *p50 * std::exp(sigma * sigma / 2);
}

std::vector<KernelCall> Scenario::kernel_calls() const {
  std::vector<KernelCall> all = kernels;
  if (kernel) all.insert(all.begin(), *kernel);
  return all;
}

void apply_override(Node& root, const Override& o) {
  const std::string origin =
      o.origin.find(' ') != std::string::npos
          ? o.origin
          : fmt::format("{} {}={}", o.origin.empty() ? "--set" : o.origin, o.path, o.value);
  Node value = parse_yaml(o.value, origin);
  if (!value.is_map()) value.mark.line = value.mark.column = 0;  // a word needs no caret
  Node* n = &root;
  std::string_view rest = o.path;
  while (true) {
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    const std::string key(rest.substr(0, dot));
    if (key.empty() || o.path.size() > 200 || rest.back() == '.')
      throw UserError(fmt::format("{}: expected a key path such as serving.max_num_seqs", origin));
    rest.remove_prefix(std::min(dot + 1, rest.size()));
    if (n->is_null()) *n = map_node();
    if (!n->is_map())
      throw UserError(
          fmt::format("{}: '{}' stands under a value that is {}", origin, key, described(*n)));
    Node* next = n->find(key);
    if (!next) {
      n->keys.push_back({key, value.mark});
      n->items.push_back(null_node());
      next = &n->items.back();
      next->mark = value.mark;
    }
    n = next;
    if (rest.empty()) break;
  }
  *n = std::move(value);
}

Node load_extended(const std::string& path) {
  Node root = load_yaml(path);
  const Node* extends = root.find("extends");
  if (!extends || !extends->is_scalar()) return root;
  const std::string base_path = (fs::path(path).parent_path() / extends->text).string();
  Errors errors;
  std::error_code ignored;
  if (!fs::is_regular_file(base_path, ignored))
    errors.add(extends->mark, "extends", "expected a scenario, no file is at " + base_path);
  errors.throw_if_any();
  const Node base = load_yaml(base_path);
  if (const Node* again = base.find("extends"))
    errors.add(again->mark, "extends",
               fmt::format("a file that {} extends may not extend another", path));
  errors.throw_if_any();
  merge_under(root, base);
  return root;
}

Scenario scenario_from_node(Node root, const std::string& folder,
                            const std::vector<Override>& overrides) {
  for (const Override& o : overrides) apply_override(root, o);
  Errors errors;
  Scenario s;
  s.file = root.mark.source ? root.mark.source->name : "";
  s.folder = folder;
  const Node* engine = root.find("engine");
  const EngineTraits* defaults = find_engine(engine && engine->is_scalar() ? engine->text : "vllm");
  if (defaults) set_engine_defaults(s, *defaults);

  ReadContext context{errors, s.given};
  read_fields(root, "", s, context);
  errors.throw_if_any();  // rules below speak of values that are known to be well formed

  Checks check(root, s, errors);
  if (s.schema != "kvroof/scenario/v1")
    check.refuse("schema", "expected kvroof/scenario/v1, got " + json_quote(s.schema));
  if (!defaults)
    check.refuse("engine", "unknown engine " + json_quote(s.engine) +
                               did_you_mean(s.engine, engine_words()) + "; expected " +
                               expected_words(engine_words()));
  check.lengths("workload.input_len", s.workload.input_len);
  check.lengths("workload.output_len", s.workload.output_len);
  if (defaults) check.memory_share(*defaults);
  check.workload();
  if (s.kernel) check.kernel("kernel", *s.kernel);
  for (std::size_t i = 0; i < s.kernels.size(); ++i)
    check.kernel(fmt::format("kernels[{}]", i), s.kernels[i]);
  if (!s.slo.preset.empty()) {
    std::vector<std::string_view> names;
    const SloPreset* found = nullptr;
    for (const SloPreset& p : kPresets) {
      names.push_back(p.name);
      if (p.name == s.slo.preset) found = &p;
    }
    if (found) {
      if (!s.slo.ttft_ms.p99) s.slo.ttft_ms.p99 = found->ttft_p99_ms;
      if (!s.slo.tpot_ms.p99) s.slo.tpot_ms.p99 = found->tpot_p99_ms;
    } else {
      check.refuse("slo.preset", "unknown preset " + json_quote(s.slo.preset) +
                                     did_you_mean(s.slo.preset, names));
    }
  }
  errors.throw_if_any();

  for (Lengths* l : {&s.workload.input_len, &s.workload.output_len})
    if (l->distribution == LengthKind::fixed && (l->p50 || l->p95 || l->p99))
      l->distribution = LengthKind::lognormal;
  if (s.name.empty()) s.name = s.file.empty() ? "command line" : fs::path(s.file).stem().string();
  return s;
}

Scenario load_scenario(const std::string& path, const std::vector<Override>& overrides) {
  return scenario_from_node(load_extended(path), fs::path(path).parent_path().string(), overrides);
}

Scenario scenario_from_overrides(const std::vector<Override>& overrides) {
  Node root = map_node();
  put(root, "schema", string_node("kvroof/scenario/v1"));
  root.mark.source = std::make_shared<const SourceText>(SourceText{"command line", ""});
  Scenario s = scenario_from_node(std::move(root), "", overrides);
  s.file.clear();
  return s;
}

std::vector<std::string> defaults_used(const Scenario& s) {
  std::vector<std::string> used;
  const Node serving = to_node(s.policy, NumberStyle::with_unit);
  for (std::size_t i = 0; i < serving.keys.size(); ++i) {
    const std::string& key = serving.keys[i].name;
    if (!serving.items[i].is_null() && !s.was_given("serving." + key))
      used.push_back(fmt::format("{} {}", key, serving.items[i].text));
  }
  return used;
}

Node resolved_inputs(const Scenario& s) {
  Node all = to_node(s, NumberStyle::base_unit);
  Node given = sequence_node();
  for (const std::string& path : s.given) given.items.push_back(string_node(path));
  put(all, "given", std::move(given));
  return all;
}

}  // namespace kvroof
