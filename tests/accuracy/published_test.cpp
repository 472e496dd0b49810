// What the shared columns mean, row by row, and that no row ends the run.
#include "model/accuracy/published.hpp"

#include <doctest/doctest.h>

#include "model/accuracy/tally.hpp"
#include "tests/accuracy/table.hpp"

using namespace kvroof;
using namespace kvroof::accuracy;
using doctest::Approx;

namespace {

Read first(const std::string& row) {
  const Csv csv = parse_csv(kColumns + row, "rows.csv");
  return published_row(csv, csv.rows.at(0));
}

}  // namespace

TEST_CASE("the shared columns become SI units and our names") {
  const Read read = first(
      "Some blog,x,8xH200 SXM 141GB (DGX),8,4,2,8,Qwen-1.5-72B,FP8,BF16 (default),1000,500,16,"
      "ttft_mean,250,ms,a note\n");
  const auto& m = std::get<Measurement>(read);
  CHECK(m.hardware == "H200 SXM 141GB (DGX)");
  CHECK(m.llm == "Qwen1.5-72B");
  CHECK(m.pool.tp == 4);
  CHECK(m.pool.pp == 2);
  CHECK(m.pool.expert);
  CHECK(m.num_gpus == 8);
  CHECK(m.weights == Dtype::fp8);
  CHECK(m.kv == Dtype::bf16);
  CHECK(m.metric == "ttft");
  CHECK(m.value == Approx(0.25));
  CHECK(m.concurrency == 16);
}

TEST_CASE("rows that cannot be right are refused with the reason") {
  const auto reason = [](const std::string& row) { return std::get<Refusal>(first(row)).reason; };
  const std::string head = "s,u,H100,1,1,1,1,Llama-2-7B,FP16,FP16,128,128,1,ttft,";
  CHECK(reason(head + "5,ms,SUSPECT typo\n") == "marked SUSPECT in the table");
  CHECK(reason(head + "5,parsecs,\n") == "unknown unit 'parsecs'");
  CHECK(reason(head + "fast,ms,\n") == "the value is not a number above zero");
  CHECK(reason(head + "-5,ms,\n") == "the value is not a number above zero");
  CHECK(reason("s,u,H100\n") == "expected 17 cells");
}

TEST_CASE("numbers and versions inside text") {
  CHECK(number_after("max_batch 784-896, FP8", "max_batch", 0) == 784);
  CHECK(number_after("QPS=1.9", "QPS=", 0) == 1.9);
  CHECK(number_after("QPS=INF", "QPS=", 7) == 7);
  CHECK(version_number("v0.9.0") < version_number("v0.10.0"));
  CHECK(version_number("v0.15.0") < version_number("v1.1"));
}

TEST_CASE(
    "every published table finds its reader, and unreadable rows are answered with a reason") {
  const char* sources[] = {"TensorRT-LLM perf docs v0.9.0",
                           "TensorRT-LLM perf-overview v0.14 online serving (Triton backend)",
                           "TensorRT-LLM perf-overview v0.13.0",
                           "MLPerf Inference v5.1",
                           "GPUStack performance lab",
                           "\"Argonne LLM-Inference-Bench (arXiv 2411.00136), vLLM\"",
                           "SplitwiseSim measured perf_model (ISCA24 Splitwise)",
                           "DistServe latency fits (vllm engine)",
                           "LLMServingSim 2.0 bench (vLLM 0.19.0 measured)",
                           "Vidur network profile (MIT)",
                           "Spec-Bench leaderboard",
                           "a blog nobody knows"};
  std::vector<std::string_view> seen;
  for (const char* source : sources) {
    CAPTURE(source);
    const std::string rest[] = {",,,,,,,,,,,,,,,,\n",
                                ",u,GPU of 2040,x,,,,nobody-9B,fp3,,a,b,c,d,1,ms,\n",
                                ",u,H100 SXM 80GB,1,1,1,1,Llama-2-7B,FP16,FP16,,,,ttft,1,ms,\n",
                                ",u,H100 SXM 80GB,0,99,7,3,Llama-2-7B,FP16,FP16,1e9,1e9,1e9,"
                                "output_throughput,1,tok/s,\n",
                                ",only,three\n"};
    std::string rows;
    for (const std::string& r : rest) rows += source + r;
    const Csv csv = parse_csv(kColumns + rows, "rows.csv");
    const FileFormat* format = find_format(csv);
    REQUIRE(format != nullptr);
    seen.push_back(format->name);
    const std::vector<Row> out = published(rows);
    CHECK(out.size() == 5);
    for (const Row& r : out) {
      const auto* x = std::get_if<double>(&r.answer);
      CHECK((x ? *x > 0 : !r.reason().empty()));
    }
  }
  std::sort(seen.begin(), seen.end());
  CHECK(std::unique(seen.begin(), seen.end()) == seen.end());  // one reader a table
}
