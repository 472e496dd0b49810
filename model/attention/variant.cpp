#include "model/attention/variant.hpp"

namespace kvroof::attention {

std::span<const Variant> variants() { return {}; }

const Variant* find_variant(std::string_view name) {
  for (const Variant& v : variants())
    if (v.name == name) return &v;
  return nullptr;
}

}  // namespace kvroof::attention
