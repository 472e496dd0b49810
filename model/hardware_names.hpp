// GPU names as drivers, papers and benchmark files spell them -> profile ids.
#pragma once
#include <string>
#include <string_view>

namespace kvroof {

/// "NVIDIA H100 80GB HBM3", "H100 SXM 80GB (DGX-H100)", "h100_sxm" -> h100-sxm-80gb; empty if
/// unknown.
std::string hardware_id(std::string_view name);

}  // namespace kvroof
