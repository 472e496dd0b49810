// A prefill call of the Hopper kernels as a Case: data on the device and the check against the
// oracle. Arguments: b h_q h_kv s_q s_kv d_qk d_v causal;
// sigma (of q: large values make few keys win).
#pragma once
#include <span>

#include "kernels/attention/flash_v3.hpp"
#include "kernels/case.hpp"
#include "kernels/data.hpp"
#include "kernels/divisor.cuh"
#include "model/attention/flash_v3.hpp"
#include "model/attention/pipes.hpp"

namespace kvroof::kernels::hopper {

flash_v3::Shape prefill_shape(const Args&);
AttentionShape model_shape(const flash_v3::Shape&);
/// "b1 h16/16 s16384/16384 d128 causal"
std::string shape_name(const flash_v3::Shape&);

/// Contiguous [b, h, s, d]: q, k, v in `input`, o in `output`; lse fp32.
struct PrefillData {
  flash_v3::Shape shape;
  Dtype input, output;
  float scale = 1, sigma = 1;
  Buffer q, k, v, o, lse, ticket;
};
PrefillData prefill_data(const Args&, Dtype input, Dtype output);
/// The call on these buffers.
flash_v3::Call prefill_call(const PrefillData&);

/// Launches on fresh normal inputs with poisoned outputs; o and lse against the oracle: every row
/// of a small call, 96 rows of a large one, the first and the last of a head among them.
Verdict verify_prefill(const PrefillData&, const std::function<void(cudaStream_t)>& launch,
                       double tolerance);
/// The second half of it: what a launch left in o and lse, against the oracle on these values of q,
/// k and v.
Verdict check_prefill(const PrefillData&, std::span<const float> q, std::span<const float> k,
                      std::span<const float> v, double tolerance);

/// How a kernel goes through its tiles.
///   q_stages   buffers of Q              per_tile   cycles of a tile that no other kernel takes
struct CyclePlan {
  double section_heads = 1;
  attention::StepPlan step = {};
  bool longest_first = true;
  attention::CutTiles cut = {};
  int q_stages = 2;
  double per_tile = 0;
};

/// The execution of `cost` with the cycles of the busiest SM for the tiles of a call
/// (model/attention/flash_v3.hpp), and how busy their steps keep the tensor cores; a warpgroup owns
/// 64 rows of the tile.
Execution with_cycles(const attention::Cost& cost, const flash_v3::Shape&, const attention::Tile&,
                      double element_bytes, CyclePlan plan);

/// Which key tiles of a row tile issue the correction of O and l: all of them; with lazy rescaling
/// the first and those without a mask, where it is predicated off but issued, while masked ones
/// jump over it; the first alone, where polynomials make every such jump real.
enum class Corrections { always, unmasked, first };

/// What a call executes on the XU pipe beside an exponential a score and 1 / l.
///   of_correction   instructions a correction: 2 where the maximum is rounded up as well
///   of_warp         of each consumer warp at every row tile
///   placing_warps   warps that find out where a row tile lies
struct XuPlan {
  double poly_share = 0;
  Corrections corrections = Corrections::unmasked;
  int of_correction = 1, of_warp = 0, placing_warps = 1;
};
/// Four integer divisions: by the tiles of a section, its heads, h_q and h_q / h_kv.
inline constexpr int kPlaceXu = 4 * kDivisionXu;

/// XU instructions of a call, counted per lane. Polynomials take no part in a row tile's first and
/// masked key tiles. Logarithms run on the FMA pipe.
double xu_lanes(const flash_v3::Shape&, const attention::Tile&, const XuPlan& = {});

/// The model's cost of a flash_v3 call, with the tile and the order of tiles that run() takes.
attention::Cost flash_v3_cost(const flash_v3::Shape&, double l2_share);

/// 16,384 tokens in all, h·d = 2048, 512 to 16K tokens a request, full and causal: what the papers
/// plot (arXiv:2407.08608, section 4.1).
void add_paper_shapes(std::vector<Args>& shapes, double d_qk, double d_v);

}  // namespace kvroof::kernels::hopper
