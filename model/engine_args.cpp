#include "model/engine_args.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "model/engine_flags.hpp"
#include "model/hf_config.hpp"
#include "model/quantity.hpp"
#include "model/shell_words.hpp"
#include "model/user_error.hpp"

namespace kvroof {
namespace {

constexpr std::string_view kWhere = "--engine-args";

[[noreturn]] void refuse(const std::string& message) {
  throw UserError(fmt::format("{}: {}", kWhere, message));
}

// ---- the program that is started --------------------------------------------------------------

struct Start {
  std::string_view engine;
  std::size_t first;        // first argument
  bool positional = false;  // the model may stand without a flag
};

std::string_view basename(std::string_view path) {
  return path.substr(std::min(path.find_last_of('/') + 1, path.size()));
}

std::optional<Start> find_start(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view name = basename(words[i]);
    const std::string_view next = i + 1 < words.size() ? words[i + 1] : std::string_view();
    if (name == "vllm" && next == "serve") return Start{"vllm", i + 2, true};
    if (name == "sglang" && next == "serve") return Start{"sglang", i + 2, true};
    if (name == "-m" && next.starts_with("vllm.entrypoints.")) return Start{"vllm", i + 2};
    if (name == "-m" && next == "sglang.launch_server") return Start{"sglang", i + 2};
    if (name == "trtllm-serve") {
      if (next == "disaggregated" || next == "disaggregated_mpi_worker")
        refuse(
            "trtllm-serve disaggregated is described by its own file; use the scenario's "
            "disaggregation block");
      return Start{"trtllm", i + (next == "serve" ? 2u : 1u), true};
    }
  }
  // The entry point of vLLM's image is `vllm serve`.
  for (std::size_t i = 0; i < words.size(); ++i)
    if (words[i].find("vllm/vllm-openai") != std::string::npos) return Start{"vllm", i + 1, true};
  return {};
}

/// As YAML: quoted where it is more than letters, digits and the marks of names and numbers.
std::string yaml_value(const std::string& value) {
  const bool plain = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._/-").find(c) != std::string_view::npos;
  });
  return plain && value.front() != '-' ? value : parse_number(value) ? value : json_quote(value);
}
bool is_flag(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && !parse_number(word);
}

/// Unknown flags of these forms take no value, so the word after them is the model, not theirs.
bool looks_like_switch(std::string_view flag) {
  for (const std::string_view prefix : {"--enable-", "--disable-", "--no-", "--skip-", "--use-"})
    if (flag.starts_with(prefix)) return true;
  return flag == "--trust-remote-code" || flag == "--headless" || flag == "--async-scheduling" ||
         flag == "--calculate-kv-scales";
}

// ---- one command --------------------------------------------------------------------------------

class Command {
 public:
  Command(const std::vector<std::string>& words, const Start& start)
      : words_(words), start_(start), flags_(flags_of(start.engine)), at_(start.first) {
    out_.engine = start.engine;
    set("engine", out_.engine, {});
  }

  EngineArgs take() {
    while (at_ < words_.size()) {
      const std::string& word = words_[at_++];
      if (is_flag(word)) flag(word);
      else model(word);
    }
    data_parallel_attention();
    draft_head();
    return std::move(out_);
  }

 private:
  void set(const std::string& path, const std::string& value, const std::string& written) {
    out_.overrides.push_back(
        {path, yaml_value(value), std::string(kWhere) + (written.empty() ? "" : " " + written)});
  }
  const Override* last(std::string_view path) const {
    for (auto i = out_.overrides.rbegin(); i != out_.overrides.rend(); ++i)
      if (i->path == path) return &*i;
    return nullptr;
  }
  int last_int(std::string_view path) const {
    const Override* o = last(path);
    const double v = o ? parse_number(o->value).value_or(1) : 1;
    return v >= 1 && v <= 4096 ? static_cast<int>(v) : 1;
  }

  void model(const std::string& word) {
    if (!start_.positional || last("model"))
      refuse(fmt::format("expected a flag, got {}", json_quote(word)));
    set("model", word, word);
  }

  void flag(const std::string& word) {
    const std::size_t equals = word.find('=');
    const std::string name = canonical_flag(word.substr(0, equals));
    std::optional<std::string> value;
    if (equals != std::string::npos) value = word.substr(equals + 1);
    if (name == "--enable-dp-attention") return void(dp_attention_ = true);
    if (name == "--speculative-config") return speculative_config(needed(name, value));
    if (const auto it = flags_.find(name); it != flags_.end())
      return known(name, it->second, value);
    if (name.starts_with("--no-"))
      if (const auto it = flags_.find("--" + name.substr(5));
          it != flags_.end() && it->second.is_switch && !value)
        return set(it->second.path, it->second.negated ? "true" : "false", word);
    unknown(name, word, value.has_value());
  }

  std::string needed(const std::string& name, std::optional<std::string> value) {
    if (!value && at_ < words_.size() && !is_flag(words_[at_])) value = words_[at_++];
    if (!value || value->empty()) refuse(fmt::format("{}: expected a value, got nothing", name));
    return *value;
  }

  void known(const std::string& name, const Flag& f, std::optional<std::string> value) {
    if (f.is_switch) {
      if (!value && at_ < words_.size() && (words_[at_] == "true" || words_[at_] == "false"))
        value = words_[at_++];
      const std::string text = value ? (*value == "True"    ? "true"
                                        : *value == "False" ? "false"
                                                            : *value)
                                     : "true";
      if (text != "true" && text != "false")
        refuse(fmt::format("{}: expected true or false, got {}", name, json_quote(text)));
      return set(f.path, (text == "true") != f.negated ? "true" : "false", name);
    }
    const std::string text = needed(name, value), written = name + " " + text;
    if (f.path == "serving.enable_expert_parallel") return expert_degree(name, text);
    if (name == "--chunked-prefill-size" && text == "-1")
      return set("scheduler.chunked_prefill", "false", written);
    set(f.path, engine_value(f.path, text), written);
  }

  void expert_degree(const std::string& name, const std::string& text) {
    const auto degree = parse_number(text);
    if (!degree || *degree < 1 || *degree != std::floor(*degree))
      refuse(fmt::format("{}: expected an integer >= 1, got {}", name, json_quote(text)));
    set("serving.enable_expert_parallel", *degree > 1 ? "true" : "false", name + " " + text);
  }

  /// Near misses of a flag that matters are errors: argparse would accept an abbreviation.
  void unknown(const std::string& name, const std::string& word, bool has_value) {
    if (name.size() >= 8)
      for (const auto& [flag, f] : flags_)
        if (flag.starts_with(name) || edit_distance(name, flag) <= 2)
          refuse(fmt::format("unknown flag {}, did you mean {}?", name, flag));
    std::string written = word;
    if (!has_value && !looks_like_switch(name)) {
      // Before the model is known, one word at most can belong to the flag.
      const bool greedy = !start_.positional || last("model");
      for (int n = 0; (greedy || n == 0) && at_ < words_.size() && !is_flag(words_[at_]); ++n)
        written += " " + words_[at_++];
    }
    out_.ignored.push_back(std::move(written));
  }

  /// vLLM: --speculative-config '{"method": "eagle3", "model": "…", "num_speculative_tokens": 3}'.
  void speculative_config(const std::string& json) {
    const Node root = parse_json(json, std::string(kWhere) + " --speculative-config");
    if (!root.is_map()) refuse("--speculative-config: expected a JSON object");
    const std::string written = "--speculative-config";
    if (!root.find("method") && root.find("model"))
      set("speculative.method", "draft_model", written);
    for (std::size_t i = 0; i < root.keys.size(); ++i) {
      const std::string& key = root.keys[i].name;
      const std::string& value = root.items[i].text;
      if (key == "method") set("speculative.method", draft_method(value), written);
      else if (key == "num_speculative_tokens") set("speculative." + key, value, written);
      else if (key == "model") set("speculative.draft_model", value, written);
      else out_.ignored.push_back(fmt::format("{} {}", written, key));
    }
  }

  /// The draft of EAGLE, Medusa and MTP is a head of the network, not a network of its own.
  void draft_head() {
    const Override* method = last("speculative.method");
    const Override* draft = last("speculative.draft_model");
    if (!draft || (method && method->value == "draft_model")) return;
    out_.ignored.push_back(fmt::format("draft head {}", draft->value));
    std::erase_if(out_.overrides,
                  [](const Override& o) { return o.path == "speculative.draft_model"; });
  }

  /// SGLang: --tp-size counts all ranks and --dp-size splits them into attention replicas; the
  /// experts keep all ranks.
  void data_parallel_attention() {
    if (!dp_attention_) return;
    const int ranks = last_int("serving.tensor_parallel_size"),
              replicas = last_int("serving.data_parallel_size");
    if (ranks % replicas != 0)
      refuse(
          fmt::format("--enable-dp-attention: expected --tp-size {} to be a multiple of "
                      "--dp-size {}",
                      ranks, replicas));
    const std::string written = "--enable-dp-attention";
    set("serving.tensor_parallel_size", fmt::format("{}", ranks / replicas), written);
    if (last("serving.enable_expert_parallel")) return;
    set("serving.enable_expert_parallel", "true", written);
    out_.ignored.push_back(
        "tensor-parallel experts under --enable-dp-attention: counted as expert parallel, which "
        "holds the same weights per GPU");
  }

  const std::vector<std::string>& words_;
  Start start_;
  Flags flags_;
  std::size_t at_;
  bool dp_attention_ = false;
  EngineArgs out_;
};

}  // namespace

EngineArgs parse_engine_args(std::string_view command) {
  const std::vector<std::string> words = shell_words(command, kWhere);
  const std::optional<Start> start = find_start(words);
  if (!start)
    refuse(
        "expected 'vllm serve …', 'python -m vllm.entrypoints.openai.api_server …', "
        "'sglang serve …', 'python -m sglang.launch_server …' or 'trtllm-serve …'");
  EngineArgs args = Command(words, *start).take();
  // What stands before the program: variables, python, docker run …
  std::vector<std::string> before(words.begin(),
                                  words.begin() + static_cast<std::ptrdiff_t>(start->first));
  std::erase_if(before, [&](const std::string& w) {
    const std::string_view name = basename(w);
    return name == "serve" || name == "-m" || name == "vllm" || name == "sglang" ||
           name == "trtllm-serve" || name.starts_with("python") ||
           name.starts_with("vllm.entrypoints.") || name == "sglang.launch_server";
  });
  args.ignored.insert(args.ignored.begin(), before.begin(), before.end());
  return args;
}

}  // namespace kvroof
