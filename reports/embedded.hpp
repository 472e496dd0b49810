// Files compiled into the program by embed.cmake.
#pragma once
#include <string_view>

namespace kvroof::reports {
std::string_view report_js();
std::string_view report_css();
}  // namespace kvroof::reports
