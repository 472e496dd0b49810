// The kernels of a step as L2 sees them: what each reads and writes, in the order of launches.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/gemm/linear.hpp"
#include "kernels/step/network.hpp"
#include "model/op.hpp"
#include "model/residence.hpp"

namespace kvroof::kernels::step {

/// The four products of a layer, the same in every layer, and the last one of all.
struct Products {
  LinearLayer qkv, o, gate_up, down;
  std::optional<LinearLayer> lm_head;
};

/// Prefill attention reads the turned keys from their own place, which only the unfused way writes.
inline bool rope_fused(const Network& n) { return n.fused && !n.prefill(); }

/// One launch of kernels that belong together, and the op of the step that it is one run of.
struct Link {
  std::string_view op;
  Pass pass;
};
/// attention: the op of one layer's.
std::vector<Link> chain(const Network& n, const Products& products, const Op& attention);

/// Share of the reads of `op` from other kernels that come from L2, its runs together.
double share_in_l2(std::string_view op, const std::vector<Link>& links,
                   const std::vector<Bytes>& found);

}  // namespace kvroof::kernels::step
