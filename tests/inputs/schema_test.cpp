// The committed schemas are the emitted ones; to renew them:
// KVROOF_WRITE_SCHEMAS=1 kvroof_tests -tc='*schemas*'
#include "model/schema.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "model/user_error.hpp"
#include "model/yaml.hpp"

using namespace kvroof;

TEST_CASE("committed schemas equal the emitted ones") {
  for (const std::string what : {"scenario", "hardware", "llm"}) {
    CAPTURE(what);
    const std::string path =
        std::string(KVROOF_SOURCE_DIR) + "/scenarios/schema/" + what + ".schema.json";
    if (std::getenv("KVROOF_WRITE_SCHEMAS")) std::ofstream(path) << emit_schema(what);
    CHECK(read_text_file(path) == emit_schema(what));
  }
}

TEST_CASE("a schema holds ranges, units and words of the field table") {
  const Node root = parse_yaml(emit_schema("scenario"), "schema");
  const Node* serving = root.find("properties")->find("serving")->find("properties");
  CHECK(serving->find("tensor_parallel_size")->find("minimum")->text == "1");
  CHECK(serving->find("tensor_parallel_size")->find("maximum")->text == "4096");
  CHECK(serving->find("cuda_graphs")->find("default")->text == "true");
  CHECK(root.find("additionalProperties")->text == "false");
  CHECK_THROWS_AS(emit_schema("gpu"), UserError);
}

TEST_CASE("the reference page lists nested keys with their flags") {
  const std::string page = emit_reference("scenario");
  CHECK(page.find("| `serving.tensor_parallel_size` | an integer from 1 to 4096 | 1 |") !=
        std::string::npos);
  CHECK(page.find("--gpu-memory-utilization") != std::string::npos);
  CHECK(page.find("`speculative.acceptance`") != std::string::npos);
}
