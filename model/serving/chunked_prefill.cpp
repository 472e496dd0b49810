#include "model/serving/chunked_prefill.hpp"

#include <algorithm>
#include <cmath>

namespace kvroof::serving {

double ridge_tokens(Throughput peak, ElementSize weight, Bandwidth hbm) {
  return peak.value * weight.value / (2 * hbm.value);  // a weight is one multiply and one add
}

double free_chunk(double ridge, double decode_tokens) {
  return std::max(0.0, ridge - decode_tokens);
}

double num_chunks(double prompt, double chunk) { return std::ceil(prompt / chunk); }

double kv_reread_tokens(double prompt, double chunk) {
  const double m = num_chunks(prompt, chunk);
  return chunk * m * (m + 1) / 2;
}

Seconds hybrid_step(const HybridStep& s, double tokens, Bytes kv_read) {
  const Seconds read = s.weights / s.hbm;
  const Seconds math = Flops{2 * s.params * tokens} / s.peak;
  return max(read, math) + kv_read / s.hbm + s.overhead;
}

ChunkedLatency chunked_latency(const HybridStep& s, double prompt, double chunk,
                               double decode_tokens, Bytes decode_kv, BytesPerToken kv_per_token) {
  ChunkedLatency l;
  for (double done = 0; done < prompt; done += chunk) {
    const double now = std::min(chunk, prompt - done);
    const Bytes kv = decode_kv + kv_per_token * Tokens{done + now};
    const Seconds t = hybrid_step(s, decode_tokens + now, kv);
    l.ttft += t;
    l.tbt = max(l.tbt, t);
  }
  return l;
}

double piggyback_ratio(double chunk, double batch) { return chunk / (batch - 1); }

}  // namespace kvroof::serving
