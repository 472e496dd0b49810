// What config.json says of the layers: attention, MLP or experts, windows.
#pragma once
#include <array>
#include <string_view>

#include "model/hf_fields.hpp"
#include "model/shape.hpp"

namespace kvroof::hf {

/// Which layers see only a window of the past.
enum class Locality {
  none,       // all layers see everything
  window,     // sliding_window, when not null, holds for every layer (Mistral)
  opt_in,     // only with use_sliding_window: true, from max_window_layers on (Qwen2, Qwen3)
  alternate,  // every other layer, beginning with the first (Gemma-2, gpt-oss)
  pattern,    // all but every sliding_window_pattern-th layer (Gemma-3)
  chunked,    // attention_chunk_size on layers with rotary positions: all but every 4th (Llama-4)
};

/// Facts about an architecture that its config.json does not spell out.
struct Architecture {
  std::string_view model_type;
  bool latent = false;  // MLA
  bool plain = false;   // LayerNorm, a two-matrix MLP with biases (GPT-2 and its contemporaries)
  bool qkv_bias = false, qk_norm = false;
  bool tied = false;  // when tie_word_embeddings is absent
  int norms = 2;
  bool hybrid = false;  // gated delta networks but for every full_attention_interval-th layer
  Locality locality = Locality::none;
};
inline constexpr std::array kArchitectures{
    Architecture{.model_type = "llama"},
    Architecture{.model_type = "mistral", .locality = Locality::window},
    Architecture{.model_type = "mixtral", .locality = Locality::window},
    Architecture{.model_type = "phi3", .locality = Locality::window},
    Architecture{.model_type = "qwen2", .qkv_bias = true, .locality = Locality::opt_in},
    Architecture{.model_type = "qwen3", .qk_norm = true, .locality = Locality::opt_in},
    Architecture{.model_type = "qwen3_moe", .qk_norm = true, .locality = Locality::opt_in},
    Architecture{.model_type = "qwen3_next", .qk_norm = true, .hybrid = true},
    Architecture{.model_type = "qwen3_5_text", .qk_norm = true, .hybrid = true},
    Architecture{.model_type = "qwen3_5_moe_text", .qk_norm = true, .hybrid = true},
    Architecture{.model_type = "gemma", .tied = true},
    Architecture{.model_type = "gemma2", .tied = true, .norms = 4, .locality = Locality::alternate},
    Architecture{.model_type = "gemma3_text",
                 .qk_norm = true,
                 .tied = true,
                 .norms = 4,
                 .locality = Locality::pattern},
    Architecture{.model_type = "falcon", .tied = true},
    Architecture{.model_type = "gpt2", .plain = true, .tied = true},
    Architecture{.model_type = "gptj", .plain = true},
    Architecture{.model_type = "opt", .plain = true, .tied = true},
    Architecture{.model_type = "bloom", .plain = true, .tied = true},
    Architecture{.model_type = "glm4_moe"},
    Architecture{.model_type = "deepseek_v2", .latent = true},
    Architecture{.model_type = "deepseek_v3", .latent = true},
    Architecture{.model_type = "deepseek_v32", .latent = true},
    Architecture{.model_type = "kimi_k2", .latent = true},
    Architecture{.model_type = "glm_moe_dsa", .latent = true},
    Architecture{.model_type = "minimax_m2"},
    Architecture{.model_type = "llama4_text", .locality = Locality::chunked},
    Architecture{.model_type = "gpt_oss", .locality = Locality::alternate},
};

/// The row of kArchitectures with this model_type; null when there is none.
const Architecture* find_architecture(std::string_view model_type);

/// Fills s.layers: equal layers form one group.
void read_layers(Config& c, const Architecture& a, int n_layers, LlmShape& s);

}  // namespace kvroof::hf
