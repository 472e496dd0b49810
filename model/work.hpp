// What one op asks of any machine. Counts only: no bandwidth, no clock, no GPU appears here.
#pragma once
#include <cstdint>

#include "model/units.hpp"

namespace kvroof {

/// HBM traffic by what it carries; the split users ask for ("62 % weights, 38 % KV").
struct Traffic {
  Bytes weights, kv, activations;  // activations: q, o, scores, hidden states, partial results
  constexpr Bytes total() const { return weights + kv + activations; }
  constexpr Traffic& operator+=(const Traffic& o) {
    return weights += o.weights, kv += o.kv, activations += o.activations, *this;
  }
  friend constexpr Traffic operator+(Traffic a, const Traffic& b) { return a += b; }
  friend constexpr Traffic operator*(double k, Traffic a) {
    return {k * a.weights, k * a.kv, k * a.activations};
  }
  constexpr bool operator==(const Traffic&) const = default;
};

/// Work of one op, on one GPU.
///   flops            paper convention (causal attention counts half of the square)
///   flops_executed   what the tensor cores run: tile padding and masked tiles included; equals the
///                    hgmma/hmma ops_path counters exactly
///   read, written    HBM compulsory: each input once, each output once
///   reread           HBM reads beyond compulsory: of a working set that L2 cannot hold
///   l2_to_sm         what tiles (clusters of tiles) ask of L2, whether it hits or not
///   multicast        received by SMs beyond l2_to_sm: one read delivered to several of a cluster;
///                    l2_to_sm + multicast is l1tex__m_xbar2l1tex_read_bytes
///   l2_added         fp32 sums that blocks add to in L2 (red.global.add): bytes of what they add
///   exps             exponentials; of our own kernels all of the XU pipe (32 x its instructions),
///                    so also the reciprocals that end rows, idle lanes counted
///   fp32             softmax, scaling, dequantisation on the FP32 pipe, in Flops
///   smem             bytes moved through shared memory, tensor operands included
///   link_sent        bytes each GPU sends over the interconnect
///   link_hops        latency steps of the collective's algorithm
///   ctas, launches   thread blocks and kernels
struct Work {
  Flops flops, flops_executed;
  Traffic read, written;
  Bytes reread;
  Bytes l2_to_sm, multicast, l2_added;
  double exps = 0;
  Flops fp32;
  Bytes smem;
  Bytes link_sent;
  double link_hops = 0;
  double ctas = 0;
  double launches = 0;

  constexpr Bytes hbm_read() const { return read.total(); }
  constexpr Bytes hbm_written() const { return written.total(); }
  constexpr Bytes hbm() const { return hbm_read() + hbm_written(); }
  /// FLOP per compulsory HBM byte; 0 when nothing is moved.
  constexpr Intensity intensity() const { return hbm() > Bytes{} ? flops / hbm() : Intensity{}; }

  constexpr Work& operator+=(const Work& o) {
    flops += o.flops, flops_executed += o.flops_executed;
    read += o.read, written += o.written, reread += o.reread, l2_to_sm += o.l2_to_sm;
    multicast += o.multicast, l2_added += o.l2_added;
    exps += o.exps, fp32 += o.fp32, smem += o.smem;
    link_sent += o.link_sent, link_hops += o.link_hops;
    ctas += o.ctas, launches += o.launches;
    return *this;
  }
  friend constexpr Work operator+(Work a, const Work& b) { return a += b; }
  /// n identical ops one after another.
  friend constexpr Work operator*(double n, const Work& w) {
    return {.flops = n * w.flops,
            .flops_executed = n * w.flops_executed,
            .read = n * w.read,
            .written = n * w.written,
            .reread = n * w.reread,
            .l2_to_sm = n * w.l2_to_sm,
            .multicast = n * w.multicast,
            .l2_added = n * w.l2_added,
            .exps = n * w.exps,
            .fp32 = n * w.fp32,
            .smem = n * w.smem,
            .link_sent = n * w.link_sent,
            .link_hops = n * w.link_hops,
            .ctas = n * w.ctas,
            .launches = n * w.launches};
  }
  constexpr bool operator==(const Work&) const = default;
};

}  // namespace kvroof
