// One variant, mirrored by name: model/attention, tests/attention and kernels/attention hold the
// same stems.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>

#include "model/attention/variant.hpp"

using namespace kvroof;

namespace {

/// Modelled, no kernel in the tree: the reason. A row is removed when its kernel arrives.
const std::map<std::string, std::string, std::less<>> kNoKernel = {
    {"masked_mha", "a kernel of the past, kept to predict what was measured with it"},
    {"sparse_topk", "modelled by bytes; selection kernels are outside the scope"},
    {"linear", "modelled by bytes; state updates are outside the scope"},
};

bool in_tree(const std::string& path) {
  return std::filesystem::exists(KVROOF_SOURCE_DIR "/" + path);
}

}  // namespace

TEST_CASE("every variant has its model, its test and its kernel or a reason") {
  for (const attention::Variant& v : attention::variants()) {
    const std::string stem(v.name);
    CAPTURE(stem);
    CHECK(in_tree("model/attention/" + stem + ".cpp"));
    CHECK(in_tree("tests/attention/" + stem + "_test.cpp"));
    const auto reason = kNoKernel.find(stem);
    const bool kernel = in_tree("kernels/attention/" + stem + ".cu");
    CHECK(kernel == (reason == kNoKernel.end()));
    if (!kernel && reason != kNoKernel.end()) MESSAGE("no kernel: ", stem, ": ", reason->second);
  }
}

TEST_CASE("no kernel without a model") {
  for (const auto& file :
       std::filesystem::directory_iterator(KVROOF_SOURCE_DIR "/kernels/attention")) {
    if (file.path().extension() != ".cu") continue;
    std::string stem = file.path().stem().string();
    if (stem == "flash_v3_fp8") stem = "flash_v3";    // one model, two formats
    if (stem == "flash_backward") stem = "flash_v2";  // one model, two passes
    if (stem == "naive_backward") stem = "naive";
    if (stem.ends_with("_tma")) stem.resize(stem.size() - 4);      // the Hopper kernel of a variant
    if (stem.ends_with("_tcgen05")) stem.resize(stem.size() - 8);  // the Blackwell kernel
    CAPTURE(stem);
    CHECK(attention::find_variant(stem) != nullptr);
  }
}
