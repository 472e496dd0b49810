#include "kernels/data.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>

#include "kernels/check.hpp"

namespace kvroof::kernels {
namespace {

/// SplitMix64 (Steele, Lea, Flood 2014) of a counter: random access, no state.
__device__ std::uint64_t hash(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

__device__ float normal(std::uint64_t bits) {
  const float u = (static_cast<float>(bits >> 40) + 1) * 0x1p-24f;  // (0, 1]
  const float v = static_cast<float>(bits & 0xffffff) * 0x1p-24f;
  return sqrtf(-2 * logf(u)) * cospif(2 * v);  // Box-Muller
}

template <class T>
__device__ T draw(std::uint64_t bits, float sigma) {
  return static_cast<T>(sigma * normal(bits));
}
template <>
__device__ std::int8_t draw<std::int8_t>(std::uint64_t bits, float) {
  return static_cast<std::int8_t>(static_cast<int>(bits % 255) - 127);
}

template <class T>
__global__ void fill(T* out, std::size_t n, std::uint64_t seed, float sigma) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < n;
       i += std::size_t{gridDim.x} * blockDim.x)
    out[i] = draw<T>(hash(hash(seed) ^ i), sigma);
}

template <class T>
void launch_fill(const Buffer& b, std::uint64_t seed, float sigma) {
  fill<<<gpu().num_sms * 8, 256>>>(b.as<T>(), b.bytes() / sizeof(T), seed, sigma);
  CUDA_CHECK(cudaGetLastError());
  CUDA_CHECK(cudaDeviceSynchronize());
}

template <class T>
std::vector<float> convert(const Buffer& b) {
  const std::vector<T> raw = to_host<T>(b);
  std::vector<float> out(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) out[i] = static_cast<float>(raw[i]);
  return out;
}

[[noreturn]] void no_such_data(Dtype d) {
  throw std::invalid_argument("no test data in format " + std::string(name(d)));
}

}  // namespace

std::uint64_t fresh_seed() {
  static std::atomic<std::uint64_t> next = [] {
    if (const char* fixed = std::getenv("KVROOF_SEED")) return std::strtoull(fixed, nullptr, 10);
    std::random_device device;
    return static_cast<unsigned long long>(device()) << 16;
  }();
  return next++;
}

void fill_random(const Buffer& b, Dtype dtype, std::uint64_t seed, float sigma) {
  switch (dtype) {
    case Dtype::fp32:
    case Dtype::tf32:
      return launch_fill<float>(b, seed, sigma);
    case Dtype::bf16:
      return launch_fill<__nv_bfloat16>(b, seed, sigma);
    case Dtype::fp16:
      return launch_fill<__half>(b, seed, sigma);
    case Dtype::fp8:
      return launch_fill<__nv_fp8_e4m3>(b, seed, sigma);
    case Dtype::int8:
      return launch_fill<std::int8_t>(b, seed, sigma);
    default:
      no_such_data(dtype);
  }
}

void poison(const Buffer& b) {
  CUDA_CHECK(cudaMemset(b.as(), 0xff, b.bytes()));
  CUDA_CHECK(cudaDeviceSynchronize());
}

Buffer to_device(const void* host, std::size_t bytes) {
  const Buffer b(bytes);
  CUDA_CHECK(cudaMemcpy(b.as(), host, bytes, cudaMemcpyHostToDevice));
  return b;
}

void detail::copy_to_host(void* host, const Buffer& b) {
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaMemcpy(host, b.as(), b.bytes(), cudaMemcpyDeviceToHost));
}

std::vector<float> to_floats(const Buffer& b, Dtype dtype) {
  switch (dtype) {
    case Dtype::fp32:
    case Dtype::tf32:
      return to_host<float>(b);
    case Dtype::bf16:
      return convert<__nv_bfloat16>(b);
    case Dtype::fp16:
      return convert<__half>(b);
    case Dtype::fp8:
      return convert<__nv_fp8_e4m3>(b);
    case Dtype::int8:
      return convert<std::int8_t>(b);
    default:
      no_such_data(dtype);
  }
}

Verdict compare(std::span<const double> reference, std::span<const float> out, double tolerance) {
  Verdict v{.tolerance = tolerance};
  if (reference.size() != out.size()) {
    v.detail = "expected " + std::to_string(reference.size()) + " elements, got " +
               std::to_string(out.size());
    return v;
  }
  if (reference.empty()) {
    v.detail = "there was nothing to compare";
    return v;
  }
  double error2 = 0, norm2 = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double r = reference[i], o = out[i];
    if (std::isinf(r) && r == o) continue;
    if (!std::isfinite(o) || !std::isfinite(r)) {
      v.relative_error = INFINITY;
      v.detail = "element " + std::to_string(i) + " is " + std::to_string(o) + ", expected " +
                 std::to_string(r);
      return v;
    }
    error2 += (o - r) * (o - r);
    norm2 += r * r;
  }
  v.relative_error = norm2 > 0 ? std::sqrt(error2 / norm2) : std::sqrt(error2);
  const double rms = std::sqrt(norm2 / static_cast<double>(out.size()));
  double worst = 0;
  std::size_t where = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (std::isinf(reference[i])) continue;
    const double scale = std::max(std::abs(reference[i]), rms);
    const double off = scale > 0 ? std::abs(out[i] - reference[i]) / scale : std::abs(out[i]);
    if (off > worst) worst = off, where = i;
  }
  v.ok = v.relative_error <= tolerance && worst <= 16 * tolerance;
  if (!v.ok)
    v.detail = "worst element " + std::to_string(where) + ": " + std::to_string(out[where]) +
               ", expected " + std::to_string(reference[where]);
  return v;
}

}  // namespace kvroof::kernels
