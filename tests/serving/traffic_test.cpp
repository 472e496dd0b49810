// Traces, synthetic arrivals and the random numbers under them.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "model/serving/arrivals.hpp"
#include "model/serving/traces.hpp"
#include "model/user_error.hpp"
#include "tests/serving/reference_data.hpp"

using namespace kvroof;
using namespace kvroof::serving;
using doctest::Approx;

namespace {

Trace parse(const std::string& text) {
  std::istringstream in(text);
  return read_trace(in, "t");
}

std::string refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return "accepted";
}

const std::string kHeader = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

}  // namespace

TEST_CASE("the three trace formats") {
  const Trace azure = parse(kHeader +
                            "2023-11-16 23:59:59.5000000,4808,10\r\n"
                            "2023-11-17 00:00:01.0000000,3180,8");
  REQUIRE(azure.requests.size() == 2);
  CHECK(azure.requests[1].arrival.value == Approx(1.5));  // over midnight
  CHECK(azure.requests[0].prompt == 4808);
  CHECK(azure.requests[1].output == 8);
  const Trace mooncake = parse(
      R"({"timestamp": 27482, "input_length": 600, "output_length": 52, "hash_ids": [46, 47]})");
  CHECK(mooncake.hash_block == 512);
  CHECK(mooncake.hashes == std::vector<std::int64_t>{46, 47});
  const Trace sharegpt = parse(
      "{\"timestamp_ms\":46.5,\"input_length\":33,\"output_length\":5,\"hash_ids_16\":[0,1]}\n"
      "{\"timestamp_ms\":347.5,\"input_length\":8,\"output_length\":5,\"hash_ids_16\":[]}");
  CHECK(sharegpt.hash_block == 16);
  CHECK(sharegpt.requests[1].arrival.value == Approx(.301));
  CHECK(sharegpt.requests[1].num_hashes == 0);
}

TEST_CASE("bad traces are refused with their place") {
  CHECK(refusal("") == "t: expected at least one request, got none");
  CHECK(refusal(kHeader) == "t: expected at least one request, got none");
  CHECK(refusal(kHeader + "2023-11-16 18:17:03.97,48") ==
        "t:2: row: expected TIMESTAMP,ContextTokens,GeneratedTokens, got \"2023-11-16 "
        "18:17:03.97,48\"");
  CHECK(refusal(kHeader + "2023-11-16 18:17:03.97,nan,8") ==
        "t:2: ContextTokens: expected a whole number of tokens >= 1, got \"nan\"");
  CHECK(refusal(kHeader + "2023-11-16 18:17:03.97,5,0") ==
        "t:2: GeneratedTokens: expected a whole number of tokens >= 1, got \"0\"");
  CHECK(refusal(kHeader + "yesterday,5,1") ==
        "t:2: TIMESTAMP: expected YYYY-MM-DD hh:mm:ss.sssssss, got \"yesterday\"");
  CHECK(refusal(kHeader + "2023-11-16 18:17:03,5,1\n2023-11-16 18:17:02,5,1").find("t:3:") == 0);
  CHECK(refusal("a,b,c\n").find("t:1: header: expected") == 0);
  CHECK(refusal(R"({"timestamp": 0, "input_length": 67)") ==
        R"(t:1: row: expected a complete {…} object, got "{"timestamp": 0, "input_length": 67")");
  CHECK(refusal(R"({"timestamp": 0, "input_length": 67})").find("t:1: output_length") == 0);
  CHECK(refusal(R"({"timestamp": 1e999, "input_length": 1, "output_length": 1})")
            .find("t:1: timestamp: expected a finite number") == 0);
  CHECK(refusal(R"({"timestamp": 0, "input_length": -1, "output_length": 1})")
            .find("t:1: input_length") == 0);
  CHECK(refusal(R"({"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [1,x]})")
            .find("t:1: hash_ids") == 0);
  CHECK_THROWS_AS(load_trace("no such file"), UserError);
}

TEST_CASE("published rates and burstiness of the traces") {
  struct Row {
    const char* file;
    std::size_t requests;
    double rate, cv, prompt, output;
  };
  const Row rows[] = {
      {"traces/azure_2023_code.csv", 8819, 2.57, 13.15, 2048, 27.9},
      {"traces/azure_2023_conv.csv", 19366, 5.53, 1.09, 1155, 211},
      {"traces/mooncake_conversation.jsonl", 12031, 3.40, 3.03, 12035, 343},
      {"traces/mooncake_synthetic.jsonl", 3993, 3.91, 1.01, 15326, 149},
      {"traces/sharegpt_llama31_8b_300.jsonl", 300, 10.3, .94, 858, 653},
  };
  for (const Row& row : rows) {
    CAPTURE(row.file);
    KVROOF_NEED_REFERENCE(path, row.file);
    Trace t = load_trace(path);
    const auto n = static_cast<double>(t.requests.size());
    double prompt = 0, output = 0;
    for (const Request& r : t.requests) prompt += r.prompt, output += r.output;
    CHECK(t.requests.size() == row.requests);
    CHECK(arrival_stats(t).rate == Approx(row.rate).epsilon(.005));
    CHECK(arrival_stats(t).cv == Approx(row.cv).epsilon(.01));
    CHECK(prompt / n == Approx(row.prompt).epsilon(.001));
    CHECK(output / n == Approx(row.output).epsilon(.002));
    spread_equal_stamps(t);
    if (std::string_view(row.file).find("conversation") != std::string_view::npos)
      CHECK(arrival_stats(t).cv < 1);  // the artefact is gone
  }
}

TEST_CASE("synthetic arrivals have the rate and burstiness asked for") {
  for (const double burstiness : {.25, .5, 1., 4.}) {
    CAPTURE(burstiness);
    const Trace t = synthesise({.requests = 200000,
                                .rate = 7,
                                .burstiness = burstiness,
                                .prompt = {.mean = 100},
                                .output = {.mean = 10},
                                .seed = 1});
    CHECK(arrival_stats(t).rate == Approx(7).epsilon(.02));
    CHECK(arrival_stats(t).cv == Approx(1 / std::sqrt(burstiness)).epsilon(.02));
  }
}

TEST_CASE("length distributions have their mean, and a seed fixes everything") {
  Rng rng(5);
  const auto mean = [&](const LengthDistribution& d) {
    double sum = 0;
    for (int i = 0; i < 100000; ++i) sum += sample(d, rng);
    return sum / 100000;
  };
  CHECK(mean({LengthShape::fixed, 77}) == 77);
  CHECK(mean({LengthShape::exponential, 500}) == Approx(500).epsilon(.01));
  CHECK(mean({LengthShape::lognormal, 500, .8}) == Approx(500).epsilon(.02));
  CHECK(mean({LengthShape::uniform, 500, 0, 100, 900}) == Approx(500).epsilon(.01));
  CHECK(lognormal_sigma(1000, 1000 * std::exp(1.6448536)) == Approx(1));
  SyntheticTrace s{.requests = 50, .rate = 3, .prompt = {LengthShape::lognormal, 500, 1}};
  const Trace a = synthesise(s), b = synthesise(s);
  s.seed = 1;
  const Trace c = synthesise(s);
  bool differs = false;
  for (std::size_t i = 0; i < a.requests.size(); ++i) {
    CHECK(a.requests[i].arrival == b.requests[i].arrival);
    CHECK(a.requests[i].prompt == b.requests[i].prompt);
    differs |= a.requests[i].prompt != c.requests[i].prompt;
  }
  CHECK(differs);
}

TEST_CASE("what is no traffic is refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(synthesise({.rate = -1}), UserError);
  CHECK_THROWS_AS(synthesise({.rate = nan}), UserError);
  CHECK_THROWS_AS(synthesise({.requests = 0}), UserError);
  CHECK_THROWS_AS(synthesise({.burstiness = 0}), UserError);
  CHECK_THROWS_AS(synthesise({.prompt = {.mean = nan}}), UserError);
  CHECK_THROWS_AS(synthesise({.output = {.mean = 0}}), UserError);
}
