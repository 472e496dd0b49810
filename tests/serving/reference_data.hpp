// Published traces and measurements, used where they are present and never required.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace kvroof {

/// Path of a reference file under $KVROOF_REFERENCE_DATA,
/// or beside the checkout in ../shared/data.
inline std::optional<std::string> reference_data(const std::string& file) {
  const char* set = std::getenv("KVROOF_REFERENCE_DATA");
  const std::filesystem::path folder =
      set ? set : std::filesystem::path(KVROOF_SOURCE_DIR) / "../shared/data";
  if (const std::filesystem::path path = folder / file; std::filesystem::exists(path))
    return path.string();
  return std::nullopt;
}

}  // namespace kvroof

/// Ends the test with a message where the file is absent.
#define KVROOF_NEED_REFERENCE(variable, file)                                      \
  const std::optional<std::string> variable##_path = kvroof::reference_data(file); \
  if (!variable##_path) {                                                          \
    MESSAGE("skipped: no reference data, " << file);                               \
    return;                                                                        \
  }                                                                                \
  const std::string& variable = *variable##_path
