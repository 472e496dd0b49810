// kvroof models: the bundled networks, counted.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "model/llm_counts.hpp"
#include "model/search_path.hpp"
#include "reports/grid.hpp"
#include "reports/text.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;

/// "GQA 64/8 x 128", "MLA 128 x (512 + 64)", with the window of local layers, the choice of sparse
/// ones and the number of those that keep a state instead.
std::string attention_text(const LlmShape& llm) {
  std::string text, more;
  int window = 0, local = 0, linear = 0;
  for (const LayerGroup& g : llm.layers) {
    if (const auto* a = std::get_if<GroupedAttention>(&g.attention)) {
      const char* kind = a->h_kv == a->h_q ? "MHA" : a->h_kv == 1 ? "MQA" : "GQA";
      text = fmt::format("{} {}/{} x {}", kind, a->h_q, a->h_kv, a->d_qk);
      if (a->window > 0) window = a->window, local += g.count;
    } else if (const auto* m = std::get_if<LatentAttention>(&g.attention)) {
      text = fmt::format("MLA {} x ({} + {})", m->h_q, m->d_c, m->d_rope);
      if (m->index_topk > 0) more = fmt::format(", best {} of the past", m->index_topk);
    } else {
      linear += g.count;
    }
  }
  if (local) more += fmt::format(", window {} in {} of {}", window, local, llm.n_layers());
  if (linear) more += fmt::format(", delta rule in {} of {}", linear, llm.n_layers());
  return text + more;
}

Json model_json(const std::string& id, const LlmConfig& c) {
  return {{"id", id},
          {"params", total_params(c.shape)},
          {"active_params", active_params(c.shape)},
          {"kv_bytes_per_token_bf16",
           static_cast<std::int64_t>(kv_bytes_per_token(c.shape, Dtype::bf16).value)},
          {"architecture", c.shape.architecture},
          {"layers", c.shape.n_layers()},
          {"attention", attention_text(c.shape)},
          {"max_positions", c.shape.max_positions},
          {"weight_format", name(c.shape.weights)},
          {"weight_bytes", weight_bytes(c.shape).value},
          {"huggingface", c.huggingface},
          {"notes", c.notes}};
}

struct Options {
  std::vector<std::string> which;
  std::string format = "table";
  bool allow_unknown_arch = false;
};

void models(const Options& o) {
  const LlmOptions options{.allow_unknown_arch = o.allow_unknown_arch};
  const std::vector<std::string> ids = o.which.empty() ? llm_ids() : o.which;
  Json list = Json::array();
  reports::Grid grid("lrrrl");
  grid.row({"id", "params", "active", "KV/token BF16", "attention"});
  for (const std::string& id : ids) {
    const LlmConfig c = load_llm(id, search_roots(), options);
    list.push_back(model_json(id, c));
    grid.row({id, fmt::format("{:.3f} B", static_cast<double>(total_params(c.shape)) / giga),
              fmt::format("{:.3f} B", static_cast<double>(active_params(c.shape)) / giga),
              reports::count(kv_bytes_per_token(c.shape, Dtype::bf16).value) + " B",
              attention_text(c.shape)});
  }
  if (o.format == "json") {
    std::cout << Json{{"schema", "kvroof/result/v1"},
                      {"inputs", {{"models", o.which}}},
                      {"results", {{"models", list}}},
                      {"warnings", Json::array()}}
                     .dump(2)
              << '\n';
  } else if (o.format == "csv") {
    grid.print_csv(std::cout);
  } else if (o.format == "md") {
    grid.print_markdown(std::cout);
  } else {
    grid.print(std::cout);
    std::cout << "\nactive: parameters one token uses, embedding and lm_head included; KV with no "
                 "window full\n";
  }
}

}  // namespace

void add_models(CLI::App& app, int&) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(
      "models", "the bundled networks: parameters, KV bytes per token, attention");
  verb->add_option(
      "which", o->which,
      "ids, Hugging Face names, config.json files or folders; all bundled ones if none");
  verb->add_option("--format", o->format, "table | json | csv | md")
      ->check(CLI::IsMember({"table", "json", "csv", "md"}));
  verb->add_flag("--allow-unknown-arch", o->allow_unknown_arch,
                 "read an unknown architecture as a dense decoder");
  verb->callback([o] { models(*o); });
}

}  // namespace kvroof::cli
