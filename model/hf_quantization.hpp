// What config.json says of the storage format of the weights.
#pragma once
#include "model/hf_config.hpp"
#include "model/hf_fields.hpp"

namespace kvroof::hf {

/// Sets the weight formats of out.shape from torch_dtype and from quantization_config, or from
/// `quant_file`, the mapping of ModelOpt's hf_quant_config.json (null when there is none).
void read_formats(Config& c, const Node& outer, const Node& quant_file, LlmConfig& out);

}  // namespace kvroof::hf
