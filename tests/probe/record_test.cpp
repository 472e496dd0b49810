// What the probe writes: CSV fields, numbers with prefixes, the measured block of a profile.
#include "cupti_probe/record.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "cupti_probe/measured_block.hpp"
#include "model/user_error.hpp"

using namespace kvroof::probe;
using kvroof::UserError;

TEST_CASE("CSV fields are quoted where they must be and an absent number is empty") {
  CHECK(csv_row({"a", "b,c", "say \"x\"", ""}) == "a,\"b,c\",\"say \"\"x\"\"\",\n");
  CHECK(csv_number(std::nullopt) == "");
  CHECK(csv_number(0.1) == "0.1");
  CHECK(csv_number(1133871366144.0) == "1133871366144");
}

TEST_CASE("numbers with prefixes") {
  CHECK(with_prefix(4.108e12, "byte/s") == "4.108 TB/s");
  CHECK(with_prefix(1.815e9, "Hz") == "1.815 GHz");
  CHECK(with_prefix(133.4e-6, "s") == "133.4 us");
  CHECK(with_prefix(0, "byte") == "0 B");
  CHECK(with_prefix(0.5, "1") == "0.5");
  CHECK(with_prefix(32, "flop") == "32 FLOP");
}

namespace {
std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}
}  // namespace

TEST_CASE("a record that never got a row leaves nothing") {
  const auto path = std::filesystem::temp_directory_path() / "kvroof_record_empty.csv";
  { const Record record(path.string(), {"x", "y"}); }
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK_FALSE(std::filesystem::exists(path.string() + ".part"));
}

TEST_CASE("a record is whole or not there and its part holds every row so far") {
  const auto path = std::filesystem::temp_directory_path() / "kvroof_record_test.csv";
  const auto part = path.string() + ".part";
  std::filesystem::remove(path);
  {
    Record stopped(path.string(), {"x", "y"}, {"# unfinished"});
    stopped.row({"1", "2"});
    CHECK(text_of(part) == "# unfinished\nx,y\n1,2\n");
    stopped.row({"3", "a,b"});
  }
  CHECK(text_of(part) == "# unfinished\nx,y\n1,2\n3,\"a,b\"\n");
  CHECK_FALSE(std::filesystem::exists(path));

  Record record(path.string(), {"x", "y"});
  record.row({"1", "2"});
  CHECK_FALSE(std::filesystem::exists(path));
  record.close({"# gpu: none"});
  CHECK(text_of(path) == "# gpu: none\nx,y\n1,2\n");
  CHECK_FALSE(std::filesystem::exists(part));
  std::filesystem::remove(path);
  CHECK_THROWS_AS(Record("/no/such/folder/x.csv", {"x"}), UserError);
}

namespace {
constexpr const char* kProfile =
    "# H200, by hand\n"
    "id: h200-sxm-141gb   # an id\n"
    "datasheet:\n"
    "  hbm_bandwidth: {value: 4.8 TB/s, source: \"datasheet\"}\n"
    "measured:   # on one GPU\n"
    "  # how fast reads are\n"
    "  hbm_read: {value: 4 TB/s,\n"
    "             source: \"old\"}\n"
    "  nvlink: {value: 400 GB/s, source: \"kept\"}\n"
    "\n"
    "# what fits\n"
    "fitted:\n"
    "  gemm: {compute: 0.76}\n";
}  // namespace

TEST_CASE("only the measured block changes and comments and order stay") {
  const std::string written = with_measured(kProfile,
                                            {{"date", "2026-11-20", ""},
                                             {"hbm_read", "4.31 TB/s", "probe, \"median\" of 30"},
                                             {"l2_read", "9.7 TB/s", "probe"}},
                                            "p.yaml");
  CHECK(written ==
        "# H200, by hand\n"
        "id: h200-sxm-141gb   # an id\n"
        "datasheet:\n"
        "  hbm_bandwidth: {value: 4.8 TB/s, source: \"datasheet\"}\n"
        "measured:   # on one GPU\n"
        "  # how fast reads are\n"
        "  hbm_read: {value: 4.31 TB/s, source: \"probe, \\\"median\\\" of 30\"}\n"
        "  nvlink: {value: 400 GB/s, source: \"kept\"}\n"
        "  date: \"2026-11-20\"\n"
        "  l2_read: {value: 9.7 TB/s, source: \"probe\"}\n"
        "\n"
        "# what fits\n"
        "fitted:\n"
        "  gemm: {compute: 0.76}\n");
}

TEST_CASE("writing the same figures twice changes nothing more") {
  const std::vector<MeasuredLine> lines{{"hbm_read", "4.31 TB/s", "probe"}};
  const std::string once = with_measured(kProfile, lines, "p.yaml");
  CHECK(with_measured(once, lines, "p.yaml") == once);
}

TEST_CASE("a profile without the block or with the block at its end") {
  CHECK(with_measured("id: x", {{"a", "1 s", "s"}}, "p") ==
        "id: x\nmeasured:\n  a: {value: 1 s, source: \"s\"}\n");
  CHECK(with_measured("measured:\n    a: {value: 2 s, source: \"t\"}", {{"b", "1 s", "s"}}, "p") ==
        "measured:\n    a: {value: 2 s, source: \"t\"}\n    b: {value: 1 s, source: \"s\"}\n");
  CHECK(with_measured("measured:\nfitted: {}\n", {{"b", "1 s", "s"}}, "p") ==
        "measured:\n  b: {value: 1 s, source: \"s\"}\nfitted: {}\n");
}

TEST_CASE("a measured block in flow style is refused with its place") {
  CHECK_THROWS_WITH_AS(with_measured("id: x\nmeasured: {a: 1}\n", {{"b", "1 s", "s"}}, "p.yaml"),
                       "p.yaml:2:10: measured: expected an indented block, one figure a line, got "
                       "'{a: 1}\n'",
                       UserError);
}
