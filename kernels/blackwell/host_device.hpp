// Functions that both a kernel and a plain C++ test compile.
#pragma once

#ifdef __CUDACC__
#define KVROOF_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define KVROOF_HOST_DEVICE inline
#endif
