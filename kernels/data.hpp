// Test data on the device: fresh random inputs, poisoned outputs,
// and the comparison with an oracle.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/case.hpp"
#include "kernels/device.hpp"
#include "model/dtype.hpp"

namespace kvroof::kernels {

/// A new seed for every call of every run, so that no result can be right by memory. KVROOF_SEED=n
/// in the environment starts the sequence at n, to repeat a failure; failures print their seed.
std::uint64_t fresh_seed();

/// Fills the whole buffer with independent normal values of standard deviation `sigma`, rounded to
/// `dtype`: fp32, tf32 (as fp32), bf16, fp16, fp8 (E4M3, saturating) or int8 (integers uniform in
/// [-127, 127]; sigma is not used).
void fill_random(const Buffer&, Dtype, std::uint64_t seed, float sigma = 1);
inline void fill_random(const Buffer& b, Dtype d, float sigma = 1) {
  fill_random(b, d, fresh_seed(), sigma);
}
/// Bytes 0xff: NaN in every floating format. An output that keeps one was not written.
void poison(const Buffer&);

Buffer to_device(const void* host, std::size_t bytes);
template <class T>
Buffer to_device(const std::vector<T>& host) {
  return to_device(host.data(), host.size() * sizeof(T));
}
/// Raw bytes as T.
template <class T>
std::vector<T> to_host(const Buffer&);
/// The values of a buffer of `dtype` as float (exact for every format fill_random knows).
std::vector<float> to_floats(const Buffer&, Dtype);

/// |out - ref| / |ref| in the Frobenius norm, and no single element off by more than 16 times the
/// tolerance of max(|ref_i|, rms(ref)). NaN fails, and so does nothing at all; equal infinities
/// agree.
Verdict compare(std::span<const double> reference, std::span<const float> out, double tolerance);

namespace detail {
void copy_to_host(void* host, const Buffer&);
}
template <class T>
std::vector<T> to_host(const Buffer& b) {
  std::vector<T> host(b.bytes() / sizeof(T));
  detail::copy_to_host(host.data(), b);
  return host;
}

}  // namespace kvroof::kernels
