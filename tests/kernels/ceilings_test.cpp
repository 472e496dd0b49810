// Runs the ceilings on the GPU and holds each against physics. Skipped (77) without a GPU.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "kernels/device.hpp"

int main(int argc, char** argv) {
  if (!kvroof::kernels::has_gpu()) {
    std::puts("no GPU: skipped");
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
