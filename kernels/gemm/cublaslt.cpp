#include "kernels/gemm/cublaslt.hpp"

#include <dlfcn.h>

#include <string>

#include "kernels/device.hpp"

namespace kvroof::kernels {
namespace {

CublasLt open() {
  const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  void* library = nullptr;
  for (const std::string& path : {name, "/usr/local/cuda/lib64/" + name})
    if (!library) library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw NotOnThisGpu("gemm: " + name + " was not found: " + dlerror());

  CublasLt lt{};
  const auto find = [&](auto& function, const char* symbol) {
    function =
        reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, symbol));
    if (!function) throw NotOnThisGpu("gemm: " + name + " has no " + symbol);
  };
  find(lt.create, "cublasLtCreate");
  find(lt.matmul_desc_create, "cublasLtMatmulDescCreate");
  find(lt.matmul_desc_set, "cublasLtMatmulDescSetAttribute");
  find(lt.layout_create, "cublasLtMatrixLayoutCreate");
  find(lt.preference_create, "cublasLtMatmulPreferenceCreate");
  find(lt.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  find(lt.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(lt.algo_get, "cublasLtMatmulAlgoConfigGetAttribute");
  find(lt.matmul, "cublasLtMatmul");
  if (lt.create(&lt.handle) != CUBLAS_STATUS_SUCCESS)
    throw NotOnThisGpu("gemm: cublasLtCreate failed");
  return lt;
}

}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt lt = open();
  return lt;
}

}  // namespace kvroof::kernels
