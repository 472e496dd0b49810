// What the field table says in other forms: JSON Schema draft-07 for editors, a reference page.
#pragma once
#include <string>
#include <string_view>

namespace kvroof {

/// "scenario", "hardware" or "llm"; UserError for another name. Ends with a newline.
std::string emit_schema(std::string_view what);

/// Markdown: one row a key with type, range, default, engine flags and meaning; same names.
std::string emit_reference(std::string_view what);

}  // namespace kvroof
