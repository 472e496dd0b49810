#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "kernels/blackwell/device.hpp"

int main(int argc, char** argv) {
  if (!kvroof::kernels::runs_sm100a()) {
    std::puts(
        "no GPU of compute capability 10.0: skipped; the tcgen05 kernels have never been run");
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
