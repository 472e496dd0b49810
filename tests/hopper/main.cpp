#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "kernels/device.hpp"

int main(int argc, char** argv) {
  if (!kvroof::kernels::has_gpu() || !kvroof::kernels::gpu().is_hopper()) {
    std::puts("no GPU of compute capability 9.0: skipped");
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
