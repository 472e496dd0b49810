// The list of variants: complete, well-formed, and every one answers.
#include "model/attention/variant.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <set>
#include <string>

using namespace kvroof;
using namespace kvroof::attention;

TEST_CASE("variants are found by name, names are unique, titles and sources are stated") {
  std::set<std::string_view> names;
  for (const Variant& v : variants()) {
    CHECK(names.insert(v.name).second);
    CHECK(find_variant(v.name) == &v);
    CHECK_FALSE(v.title.empty());
    CHECK_FALSE(v.source.empty());
  }
  CHECK(names.size() == 19);
  CHECK(find_variant("flash_v9") == nullptr);
}

TEST_CASE("every variant has its header, source and test under one stem") {
  const std::filesystem::path root = KVROOF_SOURCE_DIR;
  for (const Variant& v : variants()) {
    const std::string stem = "attention/" + std::string(v.name);
    CAPTURE(stem);
    CHECK(exists(root / "model" / (stem + ".hpp")));
    CHECK(exists(root / "model" / (stem + ".cpp")));
    CHECK(exists(root / "tests" / (stem + "_test.cpp")));
  }
}
