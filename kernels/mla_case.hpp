// An absorbed MLA decode call as a Case: the latent cache in pages on the device, and the check
// against the oracle. Every MLA decode kernel uses it.
//
//   q        [b, s_q, h_q, 576]   bf16    512 columns for the latent, 64 for the rotary part
//   cache    [pages, page, 576]   bf16    one row a token: K is the whole row, V its first
//                                         512 columns
//   table    [b, max_pages]       int32   token j of request r: row j % page of page
//                                         table[r, j / page]
//   lengths  [b]                  int32   tokens of each request, the s_q new ones included
//   o        [b, s_q, h_q, 512]   bf16    lse [b, s_q, h_q] fp32, natural logarithm
//   S = q·k_j / sqrt(192)         query t of a request sees the keys j <= length - s_q + t
//
// Arguments: b s_q s_kv h_q (128); block_size (64, a power of two); ragged (each request its own
// length, up to s_kv); sigma (of q).
#pragma once
#include "kernels/attention_case.hpp"
#include "model/attention/variant.hpp"

namespace kvroof::kernels {

struct MlaData {
  static constexpr int kLatent = 512, kRope = 64, kRow = kLatent + kRope;
  AttentionShape shape;     // h_kv 1, d_qk 576, d_v 512
  AttentionData attention;  // q, o, lse; k and v are both the cache
  Buffer table, lengths;
  int page = 64, max_pages = 0;
};
/// Pages in random order, filled with fresh normal values.
MlaData mla_data(const Args&);

/// What a kernel says of itself: the tile and splits the model counts with.
struct MlaPlan {
  attention::Tile tile;
  int splits = 1;
  int kernels = 1;  // per launch
};
/// "NAME b64 h128/1 s1/4096 d576 page64 splits2". `launch` owns whatever else the kernel needs.
Case mla_decode_case(std::string_view name, const MlaData&, const MlaPlan&,
                     const std::function<void(cudaStream_t)>& launch);

/// 9 MB to 1.2 GB of cache, 16 to 128 heads, one and two new tokens.
std::vector<Args> mla_decode_shapes();

}  // namespace kvroof::kernels
