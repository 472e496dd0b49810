// Tests of the Host API run where CUPTI is installed (no GPU needed) and say so where it is not.
#pragma once
#include <doctest/doctest.h>

#include "cupti_probe/error.hpp"
#include "cupti_probe/library.hpp"

namespace kvroof::probe {
inline bool have_cupti() {
  try {
    cupti();
    return true;
  } catch (const Unavailable&) {
    return false;
  }
}
}  // namespace kvroof::probe

#define REQUIRE_CUPTI()                              \
  if (!kvroof::probe::have_cupti()) {                \
    MESSAGE("not run: CUPTI is not installed here"); \
    return;                                          \
  }
