// A tiny XML checker for our own output: tags nest, attributes are quoted and unique,
// text is escaped.
#pragma once
#include <string>
#include <string_view>

namespace kvroof::reports {

/// Empty if well-formed, else what is wrong and where.
/// <style> and <script> hold raw text, as in HTML.
std::string xml_error(std::string_view text);

}  // namespace kvroof::reports
