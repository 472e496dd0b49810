#include <fmt/core.h>

#include <algorithm>

#include "cupti_probe/verbs.hpp"

namespace kvroof::probe {

int list_kernels() {
  std::size_t width = 6;
  for (const kernels::Entry& entry : kernels::catalogue())
    width = std::max(width, entry.name.size());
  fmt::print("{:<{}}  shapes  title\n", "kernel", width);
  for (const kernels::Entry& entry : kernels::catalogue())
    fmt::print("{:<{}}  {:>6}  {}\n", entry.name, width, entry.shapes.size(), entry.title);
  return 0;
}

}  // namespace kvroof::probe
