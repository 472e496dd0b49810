#include <array>

#include "model/accuracy/format.hpp"

namespace kvroof::accuracy {

std::span<const FileFormat> formats() {
  static const std::array all{silicon_format()};
  return all;
}

const FileFormat* find_format(const Csv& csv) {
  for (const FileFormat& f : formats())
    if (f.matches(csv)) return &f;
  return nullptr;
}

}  // namespace kvroof::accuracy
