// Each file in tests/data/bad is refused with exactly the message beside it. hardware-* are
// profiles, llm-* and *.json networks, the rest scenarios. After a deliberate change of a message:
// KVROOF_WRITE_MESSAGES=1 kvroof_tests -tc='*refused*', then read the difference.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "model/hf_config.hpp"
#include "model/profile.hpp"
#include "model/scenario.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

using namespace kvroof;
namespace fs = std::filesystem;

namespace {

void load(const fs::path& file) {
  const std::string name = file.filename().string();
  if (name.starts_with("hardware-")) to_machine(load_profile(file.string()));
  else if (name.starts_with("llm-") || file.extension() == ".json") load_llm_file(file.string());
  else load_scenario(file.string());
}

/// The message with the folder taken out, so that it does not depend on the machine.
std::string refusal(const fs::path& file) {
  std::string text;
  try {
    load(file);
  } catch (const UserError& e) {
    text = std::string(e.what()) + "\n";
  }
  const std::string folder = file.parent_path().string() + "/";
  for (std::size_t at; (at = text.find(folder)) != std::string::npos;)
    text.erase(at, folder.size());
  return text;
}

}  // namespace

TEST_CASE("every bad file is refused with its place and reason") {
  const fs::path folder = fs::path(KVROOF_SOURCE_DIR) / "tests" / "data" / "bad";
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() != ".txt") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  CHECK(files.size() >= 60);
  for (const fs::path& file : files) {
    CAPTURE(file.filename().string());
    const std::string message = refusal(file);
    CHECK_FALSE(message.empty());
    const fs::path expected = fs::path(file).replace_extension(".txt");
    if (std::getenv("KVROOF_WRITE_MESSAGES")) std::ofstream(expected) << message;
    REQUIRE(fs::exists(expected));
    CHECK(message == read_text_file(expected.string()));
  }
}
