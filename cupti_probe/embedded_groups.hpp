// The group files as the build found them; cupti_probe/embed_groups.cmake writes the table.
#pragma once
#include <span>
#include <string_view>

namespace kvroof::probe {

struct EmbeddedGroup {
  std::string_view name, text;
};
extern const std::span<const EmbeddedGroup> kEmbeddedGroups;

}  // namespace kvroof::probe
