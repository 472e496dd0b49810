#include "model/hf_config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "model/hf_layers.hpp"
#include "model/hf_quantization.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

namespace kvroof {
namespace {

/// Fields of an unknown architecture that say it is more than a dense decoder.
std::vector<std::string> unusual_fields(const Node& config) {
  std::vector<std::string> found;
  for (const Node::Key& k : config.keys)
    for (const std::string_view hint :
         {"expert", "lora_rank", "ssm", "mamba", "conv", "linear_", "state_", "layer_types",
          "compress", "index_", "cross_attn"})
      if (k.name.find(hint) != std::string::npos) {
        found.push_back(k.name);
        break;
      }
  return found;
}

constexpr hf::Architecture kDense{.model_type = "dense", .locality = hf::Locality::none};

}  // namespace

std::vector<std::string_view> known_architectures() {
  std::vector<std::string_view> names;
  for (const hf::Architecture& a : hf::kArchitectures) names.push_back(a.model_type);
  return names;
}

LlmConfig llm_from_config(const Node& outer, const Node& quant_file, const LlmOptions& options) {
  Errors errors;
  if (!outer.is_map())
    errors.add(outer.mark, "", "expected the fields of a config.json, got " + described(outer));
  errors.throw_if_any();
  const Node* text = outer.find("text_config");
  const Node& config = text && text->is_map() ? *text : outer;
  hf::Config c(config, errors);
  LlmConfig out;
  LlmShape& s = out.shape;
  if (text && text->is_map()) out.notes.push_back("only the text tower (text_config) is counted");

  s.architecture = c.text("model_type");
  const hf::Architecture* a = hf::find_architecture(s.architecture);
  if (!a) {
    const std::vector<std::string> unusual = unusual_fields(config);
    if (!options.allow_unknown_arch) {
      std::string why = s.architecture.empty()
                            ? std::string("the field model_type is missing")
                            : fmt::format("unknown architecture {}", json_quote(s.architecture));
      if (!unusual.empty())
        why += fmt::format("; no meaning is known for {}", fmt::join(unusual, ", "));
      why += did_you_mean(s.architecture, known_architectures());
      errors.add(config.find("model_type") ? config.find("model_type")->mark : config.mark,
                 "model_type",
                 fmt::format("{}; known: {}. --allow-unknown-arch reads it as a dense decoder", why,
                             fmt::join(known_architectures(), ", ")));
      errors.throw_if_any();
    }
    a = &kDense;
    out.notes.push_back(fmt::format("unknown architecture {} read as a dense Llama-like decoder",
                                    json_quote(s.architecture)));
    if (!unusual.empty())
      out.notes.push_back(fmt::format("not understood and left out: {}", fmt::join(unusual, ", ")));
  }

  const int n_layers = c.need({"num_hidden_layers", "n_layer"}, hf::kLayers);
  s.d_model = c.need({"hidden_size", "n_embd"}, hf::kWidth);
  s.vocab = c.need({"vocab_size"}, hf::kVocab);
  s.max_positions = c.get("max_position_embeddings", hf::kPositions,
                          c.get("n_positions", hf::kPositions, 0, 1), 1);
  if (a->model_type == "gpt2" || a->model_type == "opt") s.learned_positions = s.max_positions;
  s.tied_embeddings = c.flag("tie_word_embeddings", a->tied);
  s.final_norm_bias = a->plain || a->model_type == "falcon";
  hf::read_layers(c, *a, n_layers, s);
  hf::read_formats(c, outer, quant_file, out);
  if (c.get("num_nextn_predict_layers", hf::kLayers, 0) > 0)
    out.notes.push_back("the multi-token-prediction layer is left out of counts and memory");
  c.refuse_missing(s.architecture.empty() ? "the network" : s.architecture);
  errors.throw_if_any();
  return out;
}

LlmConfig llm_from_bundle(const Node& root, const LlmOptions& options) {
  Errors errors;
  const Node* id = root.find("id");
  const Node* config = root.find("config");
  const Node* repositories = root.find("huggingface");
  const Node* schema = root.find("schema");
  const std::vector<std::string_view> known{"schema", "id", "huggingface", "config", "note"};
  for (const Node::Key& k : root.keys)
    if (std::find(known.begin(), known.end(), k.name) == known.end())
      errors.add(k.mark, "",
                 fmt::format("unknown key '{}'{}", k.name, did_you_mean(k.name, known)));
  if (!schema || !schema->is_scalar() || schema->text != "kvroof/llm/v1")
    errors.add(schema ? schema->mark : root.mark, "schema",
               "expected kvroof/llm/v1, got " + (schema ? described(*schema) : "nothing"));
  if (!id || !id->is_scalar()) errors.add(id ? id->mark : root.mark, "id", "expected a name");
  if (!config) errors.add(root.mark, "config", "expected the fields of a config.json, got nothing");
  if (!repositories || !repositories->is_sequence())
    errors.add(repositories ? repositories->mark : root.mark, "huggingface",
               "expected a list of repositories that publish this config");
  errors.throw_if_any();
  LlmConfig out = llm_from_config(*config, null_node(), options);
  out.shape.id = id->text;
  for (const Node& r : repositories->items) out.huggingface.push_back(r.text);
  if (!out.huggingface.empty())
    out.shape.source = "https://huggingface.co/" + out.huggingface.front();
  return out;
}

LlmConfig load_llm_file(const std::string& path, const LlmOptions& options) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path file =
      fs::is_directory(path, ignored) ? fs::path(path) / "config.json" : fs::path(path);
  if (const auto ext = file.extension(); ext == ".yaml" || ext == ".yml") {
    const Node root = load_yaml(file.string());
    if (root.find("config") || root.find("schema")) return llm_from_bundle(root, options);
    LlmConfig out = llm_from_config(root, null_node(), options);
    out.shape.id = file.stem().string();
    out.shape.source = file.string();
    return out;
  }
  const Node config = parse_json(read_text_file(file.string()), file.string());
  Node quant = null_node();
  if (const fs::path q = file.parent_path() / "hf_quant_config.json"; fs::exists(q, ignored))
    quant = parse_json(read_text_file(q.string()), q.string());
  LlmConfig out = llm_from_config(config, quant, options);
  const fs::path folder = fs::absolute(file, ignored).parent_path();
  out.shape.id = file.stem() == "config" ? folder.filename().string() : file.stem().string();
  out.shape.source = file.string();
  return out;
}

}  // namespace kvroof
