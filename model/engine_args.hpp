// An engine's start command as users paste it, read as scenario keys:
//   vllm serve meta-llama/Llama-3.1-8B -tp 4 --max-model-len 8192
//   python -m sglang.launch_server --model-path … --tp-size 4        sglang serve --model-path …
//   trtllm-serve meta-llama/Llama-3.1-8B --tp_size 4
// Flags are matched through the engine names of the field table. Memory fractions keep their own
// keys: the engines' fractions are different quantities.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "model/scenario.hpp"

namespace kvroof {

struct EngineArgs {
  std::string engine;                // vllm, sglang or trtllm
  std::vector<Override> overrides;   // engine first, then model and flags in their order
  std::vector<std::string> ignored;  // as written: flags and launcher words no prediction uses
};

/// UserError when no known engine is started, a flag lacks its value or is a near miss of one that
/// matters. Values are checked by the scenario that takes the overrides.
EngineArgs parse_engine_args(std::string_view command);

}  // namespace kvroof
