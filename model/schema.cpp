#include "model/schema.hpp"

#include <fmt/format.h>

#include <cmath>

#include "model/hf_config.hpp"
#include "model/printer.hpp"
#include "model/profile_fields.hpp"
#include "model/scenario_fields.hpp"
#include "model/user_error.hpp"

namespace kvroof {
namespace {

template <class T>
Node schema_of(const Field& f);

Node type_schema(const char* type) {
  Node n = map_node();
  put(n, "type", string_node(type));
  return n;
}

Node any_of(Node a, Node b) {
  Node n = map_node();
  put(n, "anyOf", sequence_node({std::move(a), std::move(b)}));
  return n;
}

Node word_schema(std::span<const std::string_view> words) {
  Node list = sequence_node();
  for (const std::string_view w : words) list.items.push_back(string_node(std::string(w)));
  Node n = map_node();
  put(n, "enum", std::move(list));
  return n;
}

Node number_schema(const Field& f, bool whole) {
  Node n = type_schema(whole ? "integer" : "number");
  if (std::isfinite(f.min))
    put(n, f.above_min ? "exclusiveMinimum" : "minimum", plain_node(fmt::format("{}", f.min)));
  if (std::isfinite(f.max)) put(n, "maximum", plain_node(fmt::format("{:.0f}", f.max)));
  return n;
}

Node quantity_schema(Measure m) {
  std::string symbols;
  for (const Unit& u : units(m)) symbols.append(symbols.empty() ? "" : "|").append(u.symbol);
  Node n = type_schema("string");
  put(n, "pattern", string_node("^[+]?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)? *(" + symbols + ")$"));
  put(n, "examples", sequence_node({string_node(std::string(example(m)))}));
  return n;
}

/// The mapping of one struct: every key, none other.
class SchemaVisitor {
 public:
  template <class M>
  void operator()(std::string_view key, M& member, const Field& f) {
    Node n = schema_of<M>(f);
    if (!f.automatic.empty() && f.automatic != "null")
      n = any_of(std::move(n), word_schema(std::span(&f.automatic, 1)));
    if (f.automatic == "null") n = any_of(std::move(n), type_schema("null"));
    put(n, "description", string_node(std::string(f.doc)));
    if constexpr (!HasFields<M> && !is_optional<M> && !is_vector<M> && !Custom<M>)
      if (Node v = to_node(member, NumberStyle::with_unit); !v.is_null() && !f.required)
        put(n, "default", std::move(v));
    put(properties_, std::string(key), std::move(n));
    if (f.required) required_.items.push_back(string_node(std::string(key)));
  }
  Node take() {
    Node n = type_schema("object");
    put(n, "additionalProperties", plain_node("false"));
    put(n, "properties", std::move(properties_));
    if (!required_.items.empty()) put(n, "required", std::move(required_));
    return n;
  }

 private:
  Node properties_ = map_node(), required_ = sequence_node();
};

template <class T>
Node schema_of(const Field& f) {
  if constexpr (Custom<T>) {
    return type_schema("object");  // a sweep: any key path, a list or {pow2: …}
  } else if constexpr (is_optional<T>) {
    return any_of(schema_of<typename T::value_type>(f), type_schema("null"));
  } else if constexpr (is_vector<T>) {
    Node n = type_schema("array");
    put(n, "items", schema_of<typename T::value_type>(f));
    return n;
  } else if constexpr (HasFields<T>) {
    SchemaVisitor visitor;
    T value{};
    fields(visitor, value);
    if constexpr (HasShorthand<T>) {
      // A bare number or word stands for the first member: input_len: 2048, slo: a preset.
      using Short = std::remove_reference_t<decltype(value.*Shorthand<T>::member)>;
      if constexpr (is_optional<Short>)
        return any_of(number_schema(shorthand_field<T>(), false), visitor.take());
      else return any_of(type_schema("string"), visitor.take());
    } else {
      return visitor.take();
    }
  } else if constexpr (std::same_as<T, bool>) {
    return type_schema("boolean");
  } else if constexpr (std::same_as<T, int>) {
    return number_schema(f, true);
  } else if constexpr (std::same_as<T, double>) {
    return number_schema(f, f.whole);
  } else if constexpr (is_quantity<T>) {
    return quantity_schema(measure_of<T>());
  } else if constexpr (std::same_as<T, std::string>) {
    return type_schema("string");
  } else if constexpr (std::same_as<T, Dtype>) {
    std::vector<std::string_view> names{"bfloat16", "float16",  "half",    "float32",
                                        "float",    "fp8_e4m3", "fp8_e5m2"};
    for (const DtypeInfo& i : kDtypes) names.push_back(i.name);
    return word_schema(names);
  } else {
    return word_schema(Words<T>::names);
  }
}

/// Our LLM files hold a public config.json, whose other fields do not matter: it stays open.
Node llm_schema() {
  std::vector<std::string_view> families = known_architectures();
  Node config = type_schema("object");
  Node config_properties = map_node();
  put(config_properties, "model_type", word_schema(families));
  put(config, "properties", std::move(config_properties));
  put(config, "required", sequence_node({string_node("model_type")}));
  put(config, "description", string_node("fields of the public config.json, in its own spelling"));
  Node repositories = type_schema("array");
  put(repositories, "items", type_schema("string"));
  put(repositories, "description",
      string_node("Hugging Face repositories that publish this shape"));
  Node properties = map_node();
  put(properties, "schema", word_schema(std::array{std::string_view("kvroof/llm/v1")}));
  put(properties, "id", type_schema("string"));
  put(properties, "huggingface", std::move(repositories));
  put(properties, "note", type_schema("string"));
  put(properties, "config", std::move(config));
  Node n = type_schema("object");
  put(n, "additionalProperties", plain_node("false"));
  put(n, "properties", std::move(properties));
  put(n, "required",
      sequence_node({string_node("schema"), string_node("id"), string_node("huggingface"),
                     string_node("config")}));
  return n;
}

/// Rows of the reference page.
class ReferenceVisitor {
 public:
  explicit ReferenceVisitor(std::string prefix, std::string& out)
      : prefix_(std::move(prefix)), out_(out) {}
  template <class M>
  void operator()(std::string_view key, M& member, const Field& f) {
    const std::string path = join_path(prefix_, key);
    std::string initial;
    if constexpr (!HasFields<M> && !Custom<M> && !is_vector<M>)
      if (const Node v = to_node(member, NumberStyle::with_unit); !v.is_null()) initial = v.text;
    std::string flags;
    for (const std::string_view flag : {f.vllm, f.sglang, f.trtllm})
      if (!flag.empty()) {
        const bool negated = flag.front() == '!';
        flags += fmt::format("{}{}`{}`", flags.empty() ? "" : " · ", negated ? "not " : "",
                             flag.substr(negated));
      }
    out_ += fmt::format("| `{}` | {} | {} | {}{} | {} |\n", path, type<M>(f), initial, f.doc,
                        f.required ? " (required)" : "", flags);
    descend<M>(path);
  }

 private:
  template <class M>
  static std::string type(const Field& f) {
    if constexpr (is_optional<M>) return type<typename M::value_type>(f);
    else if constexpr (is_vector<M>) return "list";
    else if constexpr (Custom<M> || HasFields<M>) return "mapping";
    else if constexpr (std::same_as<M, bool>) return "true or false";
    else if constexpr (std::same_as<M, int>) return expected_number(f, true);
    else if constexpr (std::same_as<M, double>) return expected_number(f, f.whole);
    else if constexpr (is_quantity<M>)
      return fmt::format("quantity such as {}", example(measure_of<M>()));
    else if constexpr (std::same_as<M, std::string>) return "text";
    else if constexpr (std::same_as<M, Dtype>) return "format such as bf16, fp8, nvfp4";
    else return expected_words(Words<M>::names);
  }
  template <class M>
  void descend(const std::string& path) {
    if constexpr (is_optional<M>) {
      descend<typename M::value_type>(path);
    } else if constexpr (HasFields<M>) {
      M value{};
      ReferenceVisitor inner(path, out_);
      fields(inner, value);
    }
  }
  std::string prefix_;
  std::string& out_;
};

template <class T>
std::string reference(std::string_view title) {
  std::string out = fmt::format(
      "# {}\n\nWritten by `kvroof schema --format md`.\n\n"
      "| key | value | default | meaning | engine flags |\n|---|---|---|---|---|\n",
      title);
  T value{};
  ReferenceVisitor visitor("", out);
  fields(visitor, value);
  return out;
}

[[noreturn]] void refuse(std::string_view what) {
  throw UserError(fmt::format("unknown schema '{}'; expected scenario, hardware or llm", what));
}

}  // namespace

std::string emit_schema(std::string_view what) {
  Node body;
  if (what == "scenario") body = schema_of<Scenario>({});
  else if (what == "hardware") body = schema_of<HardwareProfile>({});
  else if (what == "llm") body = llm_schema();
  else refuse(what);
  Node n = map_node();
  put(n, "$schema", string_node("http://json-schema.org/draft-07/schema#"));
  put(n, "title", string_node(fmt::format("kvroof/{}/v1", what)));
  for (std::size_t i = 0; i < body.keys.size(); ++i)
    put(n, body.keys[i].name, std::move(body.items[i]));
  return to_json(n);
}

std::string emit_reference(std::string_view what) {
  if (what == "scenario") return reference<Scenario>("Scenario keys");
  if (what == "hardware") return reference<HardwareProfile>("Hardware profile keys");
  refuse(what);
}

}  // namespace kvroof
