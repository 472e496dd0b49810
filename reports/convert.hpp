// Writing a figure to a file by its ending. SVG is ours; PNG and PDF go through rsvg-convert.
#pragma once
#include <filesystem>
#include <string>

#include "reports/scene.hpp"

namespace kvroof::reports {

/// exit_code as the programs use it: 0 written, 2 unknown ending or missing converter, 70 failed.
struct Saved {
  int exit_code = 0;
  std::string message;
};
Saved save_figure(const Scene& s, const std::filesystem::path& file);

}  // namespace kvroof::reports
