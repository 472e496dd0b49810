#include "kernels/step/chain.hpp"

namespace kvroof::kernels::step {
namespace {

/// Sizes of the activations, bf16.
struct Sizes {
  Bytes x, q, kv, up, cached;  // kv: K or V
};

Sizes sizes(const Network& n) {
  const auto rows = [&](int columns) { return Bytes{2.0 * n.tokens() * columns}; };
  const Bytes kv = rows(n.h_kv * n.d);
  return {
      .x = rows(n.d_model), .q = rows(n.h_q * n.d), .kv = kv, .up = rows(n.d_ff), .cached = 2 * kv};
}

/// Elementwise kernels read everything once, and say so.
TensorRead once(std::string_view tensor, Bytes bytes) {
  return {tensor, bytes, Reading::evict_first};
}

Pass product(const LinearLayer& layer, std::string_view in, Bytes in_bytes,
             std::vector<TensorWrite> out) {
  return {.reads = {{in, in_bytes, Reading::by_many},
                    {{}, layer.work.read.weights + layer.work.reread, Reading::by_many}},
          .writes = std::move(out),
          .raster = layer.raster};
}

class Chain {
 public:
  Chain(const Network& n, const Op& attention) : n_(n), s_(sizes(n)), attention_(attention) {}

  void norm(std::string_view x) {
    add("first_norm", {.reads = {once(x, s_.x)}, .writes = {{"y", s_.x}}});
  }
  void residual_norm(std::string_view x, std::string_view residual, std::string_view sum) {
    if (n_.fused) {
      add("residual_norm",
          {.reads = {once(x, s_.x), once(residual, s_.x)}, .writes = {{sum, s_.x}, {"y", s_.x}}});
      return;
    }
    add("residual_norm", {.reads = {once(x, s_.x), once(residual, s_.x)}, .writes = {{sum, s_.x}}});
    add("residual_norm", {.reads = {once(sum, s_.x)}, .writes = {{"y", s_.x}}});
  }
  void qkv_proj(const LinearLayer& layer) {
    add("qkv_proj", product(layer, "y", s_.x, {{"qk", s_.q + s_.kv}, {"v", s_.kv}}));
  }
  void rope_append() {
    if (rope_fused(n_)) {
      add("rope_append", {.reads = {once("qk", s_.q + s_.kv), once("v", s_.kv)},
                          .writes = {{"q", s_.q}, {"cache", s_.cached}}});
      return;
    }
    add("rope_append",
        {.reads = {once("qk", s_.q + s_.kv)}, .writes = {{"q", s_.q}, {"k", s_.kv}}});
    add("rope_append",
        {.reads = {once("k", s_.kv), once("v", s_.kv)}, .writes = {{"cache", s_.cached}}});
  }
  /// Decode reads the cache, of which the newest token is all that L2 could have.
  void attention() {
    Pass p{.reads = {once("q", s_.q)}, .writes = {{"attended", s_.q}}, .scattered = true};
    if (n_.prefill())
      p.reads.insert(p.reads.end(),
                     {{"k", s_.kv, Reading::by_many}, {"v", s_.kv, Reading::by_many}});
    else p.reads.push_back({{}, attention_.work.read.kv, Reading::once});
    add("attention", std::move(p));
  }
  void o_proj(const LinearLayer& layer) {
    add("o_proj", product(layer, "attended", s_.q, {{"projected", s_.x}}));
  }
  void gate_up_proj(const LinearLayer& layer) {
    add("gate_up_proj", product(layer, "y", s_.x, {{"gate", s_.up}, {"up", s_.up}}));
  }
  void activation() {
    if (n_.fused) {
      add("activation",
          {.reads = {once("gate", s_.up), once("up", s_.up)}, .writes = {{"act", s_.up}}});
      return;
    }
    add("activation", {.reads = {once("gate", s_.up)}, .writes = {{"silu", s_.up}}});
    add("activation",
        {.reads = {once("silu", s_.up), once("up", s_.up)}, .writes = {{"act", s_.up}}});
  }
  void down_proj(const LinearLayer& layer) {
    add("down_proj", product(layer, "act", s_.up, {{"down", s_.x}}));
  }
  /// The last tokens alone: the head of the norm's output would do as well.
  void lm_head(const LinearLayer& layer) {
    add("lm_head", product(layer, "y", layer.work.read.activations, {}));
  }

  std::vector<Link> links;

 private:
  void add(std::string_view op, Pass pass) { links.push_back({op, std::move(pass)}); }

  const Network& n_;
  Sizes s_;
  const Op& attention_;
};

}  // namespace

std::vector<Link> chain(const Network& n, const Products& p, const Op& attention) {
  Chain c(n, attention);
  for (int i = 0; i < n.layers; ++i) {
    if (i == 0) c.norm("x");
    else c.residual_norm("sum of mlp", "down", "sum of attention");
    c.qkv_proj(p.qkv);
    c.rope_append();
    c.attention();
    c.o_proj(p.o);
    c.residual_norm(i == 0 ? "x" : "sum of attention", "projected", "sum of mlp");
    c.gate_up_proj(p.gate_up);
    c.activation();
    c.down_proj(p.down);
  }
  c.residual_norm("sum of mlp", "down", "sum of attention");
  if (p.lm_head) c.lm_head(*p.lm_head);
  return std::move(c.links);
}

double share_in_l2(std::string_view op, const std::vector<Link>& links,
                   const std::vector<Bytes>& found) {
  Bytes all, of_these;
  for (std::size_t i = 0; i < links.size(); ++i) {
    if (links[i].op != op) continue;
    of_these += found[i];
    for (const TensorRead& r : links[i].pass.reads)
      if (!r.tensor.empty()) all += r.bytes;
  }
  return all > Bytes{} ? of_these / all : 0;
}

}  // namespace kvroof::kernels::step
