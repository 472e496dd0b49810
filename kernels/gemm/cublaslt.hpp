// cuBLASLt, opened at run time: the program starts without it, and it is not linked (it is 500 MB).
#pragma once
#include <cublasLt.h>

namespace kvroof::kernels {

/// The calls we use. Throws NotOnThisGpu, naming the library, where it cannot be opened.
struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtMatmulDescCreate) matmul_desc_create;
  decltype(&cublasLtMatmulDescSetAttribute) matmul_desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) algo_get;
  decltype(&cublasLtMatmul) matmul;
  cublasLtHandle_t handle = nullptr;
};
const CublasLt& cublaslt();

/// Output tile of a tile id, in cuBLASLt's rows and columns; {0, 0} for an id without a size.
struct LtTile {
  int rows, columns;
};
LtTile lt_tile(int id);
/// Elements of k per pipeline stage of a stages id; 0 for an id without a size.
int lt_k_step(int id);
/// Tiles of one cluster in rows and columns; {1, 1} for an id without a size.
LtTile lt_cluster(int id);

}  // namespace kvroof::kernels
