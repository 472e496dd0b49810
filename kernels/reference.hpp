// CPU oracles in double: the plainest possible code for each kernel's result. No CUDA, no tiles, no
// online softmax; a kernel is right when it agrees with these on fresh random inputs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace kvroof::reference {

/// f(0) … f(n-1) on all cores.
void parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& f);

/// Where the rows of q, k or v lie: `row(request, token, head)` is the index
/// of a row's first element.
///   dense    request·request_stride + token·token_stride + head·head_stride
///   ragged   first_token[request] takes the place of request·request_stride (tokens packed end to
///            end)
///   paged    token t lies in page table[request·max_pages + t / page_size]
struct Rows {
  std::int64_t request_stride = 0, token_stride = 0, head_stride = 0;
  std::vector<std::int64_t> first_token;  // ragged: cumulative lengths, b or b + 1 of them
  std::vector<int> table;                 // paged
  int max_pages = 0, page_size = 0;
  std::int64_t page_stride = 0;

  std::int64_t row(std::int64_t request, std::int64_t token, std::int64_t head) const;
};
/// [b, s, h, d], as engines keep activations.
Rows token_major(std::int64_t s, std::int64_t h, std::int64_t d);
/// [b, h, s, d].
Rows head_major(std::int64_t s, std::int64_t h, std::int64_t d);

/// One attention call.
///   S[t, j] = scale · q_t · k_j, capped to softcap·tanh(S / softcap) if softcap > 0
///   P = softmax over the visible keys j (and the head's sink logit, which adds to the denominator
///       only)
///   out[t] = sum_j P[t, j] · v_j     lse[t] = ln of the denominator; -inf where nothing is visible
/// Query t of a request with s_q new and s_kv keys stands at position t + s_kv - s_q. Key j is
/// visible unless a rule hides it:
///   causal      j <= position
///   window w    position - j < w, or j < sinks (first tokens stay visible; StreamingLLM)
///   tree        among the last s_q keys, tree[t·s_q + (j - (s_kv - s_q))] != 0
///               (speculative verify)
///   blocks      block_mask[(t / block_q)·ceil(s_kv / block_k) + j / block_k] != 0 (block-sparse)
struct Attention {
  std::int64_t b = 1, s_q = 1, s_kv = 1, h_q = 1, h_kv = 1, d_qk = 1, d_v = 1;
  double scale = 1;
  bool causal = false;
  std::int64_t window = 0;  // 0: none
  std::int64_t sinks = 0;
  double softcap = 0;
  std::vector<double> sink_logit;        // per query head
  std::vector<std::int64_t> q_lengths;   // per request; empty: s_q each
  std::vector<std::int64_t> kv_lengths;  // per request; empty: s_kv each
  std::vector<std::uint8_t> tree;
  std::vector<std::uint8_t> block_mask;
  std::int64_t block_q = 0, block_k = 0;

  std::span<const float> q, k, v;
  Rows q_rows, k_rows, v_rows;

  std::int64_t queries(std::int64_t request) const;
  std::int64_t keys(std::int64_t request) const;
  bool visible(std::int64_t request, std::int64_t t, std::int64_t j) const;
};

struct AttentionRow {
  std::vector<double> out;  // d_v
  double lse = 0;           // natural logarithm
};
/// One query row; for spot checks of large shapes. Nothing visible: out = 0, lse = -inf.
AttentionRow attention_row(const Attention&, std::int64_t request, std::int64_t t,
                           std::int64_t head);

struct AttentionResult {
  std::vector<double> out;  // in the layout of `out_rows`
  std::vector<double> lse;  // [b, h_q, s_q], s_q being the longest
};
/// All rows; `out_rows` gives the layout, elements that belong to no row stay 0.
AttentionResult attention(const Attention&, const Rows& out_rows, std::size_t out_elements);

/// Gradients for d_out in the layout of q (d_v columns: `do_rows`), by the textbook route:
///   dV = P^T dO    dP = dO V^T    dS = P ∘ (dP - rowsum(P ∘ dP))
///   dQ = scale dS K    dK = scale dS^T Q
/// Results lie in the layouts of q, k and v. softcap and sinks are not differentiated.
struct AttentionGradient {
  std::vector<double> dq, dk, dv;
};
/// What a kernel gets from its forward pass, as stored: P [b, h_q, s_q, pitch] of which s_kv columns
/// count, or O in the layout of d_out. A backward pass answers for the gradients of these.
struct Kept {
  std::span<const float> p = {};
  std::int64_t pitch = 0;
  std::span<const float> o = {};
};
/// With kept P, of this P instead of softmax(scale Q K^T); with kept O, rowsum(dO ∘ O) takes the
/// place of rowsum(P ∘ dP), which it equals before O is rounded (arXiv:2205.14135, appendix B.2).
AttentionGradient attention_backward(const Attention&, std::span<const float> d_out,
                                     const Rows& do_rows, const Kept& kept = {});

/// Rows of x [rows, columns]: exp(x - max) / sum.
std::vector<double> softmax(std::span<const float> x, std::int64_t columns);
/// x / sqrt(mean(x²) + epsilon) · weight, per row of `weight.size()` columns (arXiv:1910.07467).
std::vector<double> rms_norm(std::span<const float> x, std::span<const float> weight,
                             double epsilon);
/// x [tokens, heads, d] turned by position: pair (i, i + d/2), or (2i, 2i + 1) if interleaved, by
/// the angle position · theta^(-2i/d) (arXiv:2104.09864).
std::vector<double> rope(std::span<const float> x, std::span<const std::int64_t> positions,
                         std::int64_t heads, std::int64_t d, double theta,
                         bool interleaved = false);
/// silu(gate) · up, element by element; silu(x) = x / (1 + e^-x) (arXiv:2002.05202).
std::vector<double> swiglu(std::span<const float> gate, std::span<const float> up);
/// c [m, n] = alpha · a [m, k] · b [n, k]^T: both operands K-major.
std::vector<double> gemm(std::span<const float> a, std::span<const float> b, std::int64_t m,
                         std::int64_t n, std::int64_t k, double alpha = 1);
/// c[i, j] of the same product, for spot checks.
double gemm_element(std::span<const float> a, std::span<const float> b, std::int64_t i,
                    std::int64_t j, std::int64_t k, double alpha = 1);

}  // namespace kvroof::reference
