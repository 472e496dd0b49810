// out [m, n] = x [m, k] · w [n, k]^T, both K-major: a linear layer.          model: model/gemm.cpp
//
// cuBLASLt counts columns first, so it is given out^T [n, m] = w^T · x: its tile rows are our n.
// The first algorithm of its heuristic runs;
// the tile it reports is the tile the model predicts with.
#include "kernels/gemm/entries.hpp"

#include <memory>
#include <random>
#include <stdexcept>

#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/device.hpp"
#include "kernels/gemm/cublaslt.hpp"
#include "kernels/gemm/linear.hpp"
#include "kernels/reference.hpp"
#include "model/gemm.hpp"

namespace kvroof::kernels {
namespace {

constexpr std::size_t kWorkspace = 64u << 20;  // NVIDIA's advice for Hopper is 32 MiB

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error(std::string(call) + ": cuBLAS status " + std::to_string(status));
}

struct Format {
  const char* entry;
  Dtype dtype;
  MathType math;
  cudaDataType_t cuda;
  int bytes;
};

/// What one product needs at launch; lives as long as the closures that hold it.
struct Plan {
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algo{};
  LtTile tile{}, cluster{1, 1};
  int k_step = 0, split_k = 1;
};

Plan plan(const Format& f, std::uint64_t m, std::uint64_t n, std::uint64_t k, const float* scale,
          std::int64_t x_row = 0) {
  const CublasLt& lt = cublaslt();
  Plan p;
  check(lt.matmul_desc_create(&p.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  const auto set = [&](cublasLtMatmulDescAttributes_t what, const auto& value) {
    check(lt.matmul_desc_set(p.desc, what, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  if (f.dtype == Dtype::fp8) {
    set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scale);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scale);
  }
  const auto leading = [](std::uint64_t x) { return static_cast<std::int64_t>(x); };
  check(lt.layout_create(&p.w, f.cuda, k, n, leading(k)), "cublasLtMatrixLayoutCreate");
  check(lt.layout_create(&p.x, f.cuda, k, m, x_row > 0 ? x_row : leading(k)),
        "cublasLtMatrixLayoutCreate");
  check(lt.layout_create(&p.out, CUDA_R_16BF, n, m, leading(n)), "cublasLtMatrixLayoutCreate");

  cublasLtMatmulPreference_t preference = nullptr;
  check(lt.preference_create(&preference), "cublasLtMatmulPreferenceCreate");
  check(lt.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace,
                          sizeof kWorkspace),
        "cublasLtMatmulPreferenceSetAttribute");
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status =
      lt.heuristic(lt.handle, p.desc, p.w, p.x, p.out, p.out, preference, 1, &found, &count);
  if (status != CUBLAS_STATUS_SUCCESS || count == 0)
    throw NotOnThisGpu(std::string(f.entry) + ": cuBLASLt has no algorithm for m " +
                       std::to_string(m) + " n " + std::to_string(n) + " k " + std::to_string(k));
  p.algo = found.algo;
  const auto get = [&](cublasLtMatmulAlgoConfigAttributes_t what, auto& value) {
    std::size_t written = 0;
    check(lt.algo_get(&p.algo, what, &value, sizeof value, &written),
          "cublasLtMatmulAlgoConfigGetAttribute");
  };
  int tile = 0, stages = 0;
  std::uint16_t cluster = 0;
  get(CUBLASLT_ALGO_CONFIG_TILE_ID, tile);
  get(CUBLASLT_ALGO_CONFIG_STAGES_ID, stages);
  get(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, cluster);
  get(CUBLASLT_ALGO_CONFIG_SPLITK_NUM, p.split_k);
  p.tile = lt_tile(tile);
  p.cluster = lt_cluster(cluster);
  p.k_step = lt_k_step(stages);
  return p;
}

OnChip this_chip() {
  OnChip chip;
  chip.num_sms = gpu().num_sms;
  return chip;
}

/// The tile the model counts with. Where no k step is told: 128 bytes, the swizzle span that Hopper
/// kernels load.
GemmTile kernel_tile(const Plan& p, const Format& f, double m, double n, double k) {
  if (p.tile.rows <= 0) return gemm_tile(m, n, k, this_chip());
  return {.m = p.tile.columns,
          .n = p.tile.rows,
          .k = p.k_step > 0 ? p.k_step : 128 / f.bytes,
          .split_k = std::max(1, p.split_k),
          .reduces = p.split_k > 1,
          .cluster_m = p.cluster.columns,
          .cluster_n = p.cluster.rows};
}

Work work_of(const Plan& p, const Format& f, std::int64_t m, std::int64_t n, std::int64_t k) {
  const double dm = static_cast<double>(m), dn = static_cast<double>(n),
               dk = static_cast<double>(k);
  const ElementSize element{static_cast<double>(f.bytes)};
  return gemm(dm, dn, dk, {.weight = element, .in = element, .out = ElementSize{2}},
              kernel_tile(p, f, dm, dn, dk), this_chip());
}

void multiply(const Plan& p, const void* x, const void* w, void* out, const Buffer& workspace,
              cudaStream_t stream) {
  const CublasLt& lt = cublaslt();
  const float alpha = 1, beta = 0;
  check(lt.matmul(lt.handle, p.desc, &alpha, w, p.w, x, p.x, &beta, out, p.out, out, p.out, &p.algo,
                  workspace.as(), workspace.bytes(), stream),
        "cublasLtMatmul");
}

Case make(const Format& f, const Args& args) {
  const auto m = static_cast<std::int64_t>(arg(args, "m", 8192));
  const auto n = static_cast<std::int64_t>(arg(args, "n", 8192));
  const auto k = static_cast<std::int64_t>(arg(args, "k", 8192));
  if (m < 1 || n < 1 || k < 1) throw std::invalid_argument(std::string(f.entry) + ": m, n, k >= 1");

  const Buffer x(static_cast<std::size_t>(m * k * f.bytes)),
      w(static_cast<std::size_t>(n * k * f.bytes));
  const Buffer out(static_cast<std::size_t>(m * n * 2)), workspace(kWorkspace);
  const Buffer one = to_device(std::vector<float>{1});
  fill_random(x, f.dtype);
  fill_random(w, f.dtype);
  const auto p =
      std::make_shared<Plan>(plan(f, static_cast<std::uint64_t>(m), static_cast<std::uint64_t>(n),
                                  static_cast<std::uint64_t>(k), one.as<float>()));

  const bool known = p->tile.rows > 0;
  const GemmTile tile =
      kernel_tile(*p, f, static_cast<double>(m), static_cast<double>(n), static_cast<double>(k));
  const auto pair = [](int a, int b) { return std::to_string(a) + "x" + std::to_string(b); };
  Case c;
  c.name = std::string(f.entry) + " m" + std::to_string(m) + " n" + std::to_string(n) + " k" +
           std::to_string(k) + (known ? " tile " : " tile unknown, model's ") +
           pair(tile.m, tile.n) + "x" + std::to_string(tile.k) + " cluster " +
           pair(tile.cluster_m, tile.cluster_n) + " split " + std::to_string(tile.split_k);
  c.op = {
      .name = f.entry, .op_class = OpClass::gemm, .math = f.math, .work = work_of(*p, f, m, n, k)};
  c.kernels_per_launch = tile.reduces ? 2 : 1;
  c.launch = [=](cudaStream_t stream) {
    multiply(*p, x.as(), w.as(), out.as(), workspace, stream);
    (void)one;  // the descriptor points to it
  };
  c.verify = [=, launch = c.launch] {
    poison(out);
    launch(nullptr);
    const std::vector<float> xs = to_floats(x, f.dtype), ws = to_floats(w, f.dtype);
    const std::vector<float> all = to_floats(out, Dtype::bf16);
    for (const float value : all)
      if (value != value) return Verdict{.detail = "an element was not written"};
    // 4096 elements at random places: the whole product would take the CPU minutes.
    std::mt19937_64 random(fresh_seed());
    std::vector<double> expected;
    std::vector<float> got;
    for (int i = 0; i < 4096; ++i) {
      const auto row = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(m));
      const auto column = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
      expected.push_back(reference::gemm_element(xs, ws, row, column, k));
      got.push_back(all[static_cast<std::size_t>(row * n + column)]);
    }
    return compare(expected, got, 5e-3);  // bf16 output: half an ulp is 2^-9 of the value
  };
  return c;
}

constexpr Format kBf16{"gemm_bf16", Dtype::bf16, MathType::bf16, CUDA_R_16BF, 2};
constexpr Format kFp8{"gemm_fp8", Dtype::fp8, MathType::fp8, CUDA_R_8F_E4M3, 1};

/// Llama-3.1-8B/70B layers at decode and prefill sizes, then squares.
std::vector<Args> shapes(std::initializer_list<double> decode) {
  std::vector<Args> all;
  const auto add = [&](double m, double n, double k) {
    all.push_back({{"m", m}, {"n", n}, {"k", k}});
  };
  for (const double m : decode) {
    add(m, 28672, 8192);  // gate or up of 70B
    add(m, 8192, 28672);  // down
    add(m, 10240, 8192);  // q, k, v
  }
  for (const double m : {256, 1024, 4096}) add(m, 28672, 8192);
  for (const double s : {1024, 2048, 4096, 8192}) add(s, s, s);
  add(16384, 8192, 8192);
  add(1000, 8200, 4104);  // no multiple of any tile
  return all;
}

}  // namespace

LinearLayer linear_bf16(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t x_row) {
  const auto size = [](std::int64_t x) { return static_cast<std::uint64_t>(x); };
  const auto real = [](std::int64_t x) { return static_cast<double>(x); };
  const auto p = std::make_shared<Plan>(plan(kBf16, size(m), size(n), size(k), nullptr, x_row));
  const GemmTile tile = kernel_tile(*p, kBf16, real(m), real(n), real(k));
  const Buffer workspace(kWorkspace);
  return {.launch = [=](const void* x, const void* w, void* out,
                        cudaStream_t stream) { multiply(*p, x, w, out, workspace, stream); },
          .work = work_of(*p, kBf16, m, n, k),
          .raster = gemm_raster(real(m), real(n), tile, this_chip()),
          .kernels = p->split_k > 1 ? 2 : 1};
}

std::vector<Entry> gemm_entries() {
  auto fp8 = shapes({16, 32, 64});
  std::erase_if(fp8,
                [](const Args& a) { return arg(a, "m", 0) == 1000; });  // fp8 wants 16 | m, n, k
  return {{"gemm_bf16", "Linear layer in bf16, cuBLASLt", shapes({1, 4, 16, 64}),
           [](const Args& a) { return make(kBf16, a); }},
          {"gemm_fp8", "Linear layer in fp8 (E4M3), bf16 output, cuBLASLt", fp8,
           [](const Args& a) { return make(kFp8, a); }}};
}

}  // namespace kvroof::kernels
