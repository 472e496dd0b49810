// The flags of the serving engines, from the engine names of the field table, and the engines'
// spelling of their values.
#pragma once
#include <map>
#include <string>
#include <string_view>

namespace kvroof {

struct Flag {
  std::string path;
  bool is_switch = false;  // takes no value
  bool negated = false;    // its presence means false
};
using Flags = std::map<std::string, Flag, std::less<>>;

/// --max_model_len and --max-model-len are one flag to every engine's parser.
std::string canonical_flag(std::string_view flag);

/// Every flag of vllm, sglang or trtllm that sets a scenario key, by its canonical name.
Flags flags_of(std::string_view engine);

/// The scenario's spelling of what an engine's flag for `path` is given.
std::string engine_value(std::string_view path, const std::string& value);

/// The scenario's name of a speculative method.
std::string draft_method(std::string method);

}  // namespace kvroof
