// GPUs and networks as drivers, papers and benchmark files spell them -> our ids.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace kvroof {

/// "NVIDIA H100 80GB HBM3", "H100 SXM 80GB (DGX-H100)", "h100_sxm" -> h100-sxm-80gb;
/// empty if unknown.
std::string hardware_id(std::string_view name);

/// Ids a network may be bundled under, best first: "nvidia/Llama-3.1-8B-Instruct-FP8" gives itself,
/// then llama-3.1-8b-instruct-fp8, … down to llama-3.1-8b:
/// fine-tuning and format do not change a shape.
std::vector<std::string> llm_candidates(std::string_view name);

}  // namespace kvroof
