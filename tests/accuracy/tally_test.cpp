// Errors by group against hand arithmetic, and the verb's JSON.
#include "model/accuracy/tally.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

using namespace kvroof;
using namespace kvroof::accuracy;
using doctest::Approx;

TEST_CASE("accuracy: mean, median, bias and share within 20 % by hand") {
  // |e| = .1 .1 .2 .4 .5: mean .26, median .2; signed -.4 -.1 .1 .2 .5: median .1; 3 of 5 within.
  const ErrorFigures f = error_figures({0.1, -0.1, 0.2, -0.4, 0.5});
  CHECK(f.mape == Approx(0.26));
  CHECK(f.median_ape == Approx(0.2));
  CHECK(f.bias == Approx(0.1));
  CHECK(f.within_20 == Approx(0.6));
  const ErrorFigures even = error_figures({0.1, 0.3});
  CHECK(even.median_ape == Approx(0.2));
  CHECK(even.bias == Approx(0.2));
}

TEST_CASE("accuracy: a group counts refused rows, reasons are counted by file") {
  Measurement m{.file = "a.csv",
                .hardware = "h100_sxm",
                .engine = "vllm",
                .llm = "meta-llama/Llama-3.1-8B",
                .metric = "tpot",
                .value = 2};
  Measurement apart = m;
  apart.mode = Mode::disaggregated;
  Context context;
  const Tally t =
      tally({{m, 3.0}, {m, 1.0}, {m, std::string("why")}, {apart, std::string("why")}}, context);
  REQUIRE(t.groups.size() == 2);  // pools of their own are a family of their own
  CHECK(t.groups[0].hardware == "h100-sxm-80gb");
  CHECK(t.groups[0].model == "llama-3.1-8b");
  CHECK(t.groups[0].rows == 3);
  CHECK(t.groups[0].answered == 2);
  CHECK(t.groups[0].errors.mape == Approx(0.5));
  CHECK(t.groups[1].engine == "vllm disaggregated");
  CHECK(t.groups[1].answered == 0);
  REQUIRE(t.refused.size() == 1);
  CHECK(t.refused[0].count == 2);
}

namespace {

std::string output_of(const std::string& command) {
  std::FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe);
  std::string text;
  char buffer[4096];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
  pclose(pipe);
  return text;
}

}  // namespace

TEST_CASE("accuracy: the verb reads a folder and prints the agreed keys in order") {
  const auto folder = std::filesystem::temp_directory_path() / "kvroof-accuracy-test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder / "deeper");
  std::ofstream(folder / "deeper" / "engines.csv")
      << "id,silicon_data_source,backend,backend_version,model_path,system,precision,mode,isl,osl,"
         "batch_size,tp_size,pp_size,attention_dp_size,moe_tp_size,moe_ep_size,silicon_ttft_ms,"
         "silicon_tpot_ms\n"
         "a_c4_tp8_ep1_1,silicon_concurrency=4,vllm,,meta-llama/"
         "Llama-3.1-70B,h100_sxm,fp8,agg,1024,"
         "1024,4,8,1,1,8,1,70,9.1\n"
         "b_c4_tp8_ep1_2,silicon_concurrency=4,vllm,,nobody/"
         "Unknown-9B,h100_sxm,fp8,agg,1024,1024,4,"
         "8,1,1,8,1,70,9.1\n";
  std::ofstream(folder / "other.csv") << "colour,taste\nred,sweet\n";
  const std::string text =
      output_of(std::string(KVROOF_PROGRAM) + " accuracy " + folder.string() + " --format json");
  std::size_t at = text.find("\"groups\"");
  REQUIRE(at != std::string::npos);
  for (const char* key : {"file", "hardware", "model", "engine", "metric", "rows", "answered",
                          "mape", "median_ape", "bias", "within_20"}) {
    const std::size_t next = text.find('"' + std::string(key) + "\":", at);
    CAPTURE(key);
    REQUIRE(next != std::string::npos);
    at = next;
  }
  const std::size_t refused = text.find("\"refused\"");
  REQUIRE(refused != std::string::npos);
  CHECK(text.find("\"reason\": \"no config of Unknown-9B\"", refused) != std::string::npos);
  CHECK(text.find("\"count\": 2", refused) != std::string::npos);
  CHECK(text.find("other.csv: no measurements in a form known here") != std::string::npos);
  std::filesystem::remove_all(folder);
}
