// The engines' table: every way its columns mislead, in hand-made rows.
#include <doctest/doctest.h>

#include <string>

#include "model/accuracy/format.hpp"
#include "model/accuracy/silicon_row.hpp"

using namespace kvroof;
using namespace kvroof::accuracy;

namespace {

const std::string kHeader =
    "id,silicon_data_source,backend,backend_version,model_path,system,precision,mode,isl,osl,"
    "gemm_quant_mode,moe_quant_mode,batch_size,tp_size,pp_size,attention_dp_size,moe_tp_size,"
    "moe_ep_size,prefill_batch_size,prefill_num_workers,prefill_tp_size,prefill_pp_size,"
    "prefill_attention_dp_size,prefill_moe_tp_size,prefill_moe_ep_size,decode_batch_size,"
    "decode_num_workers,decode_tp_size,decode_pp_size,decode_attention_dp_size,decode_moe_tp_size,"
    "decode_moe_ep_size,silicon_ttft_ms,silicon_tpot_ms\n";

struct Row {
  std::string id = "x_c8_tp8_ep1_1", source = "source_file=own.csv; silicon_concurrency=8",
              backend = "vllm", version = "0.11.0", llm = "meta-llama/Llama-3.1-70B",
              system = "h100_sxm", precision = "fp8", mode = "agg", isl = "1024", osl = "128",
              tp = "8", dp = "1", moe_tp = "8", moe_ep = "1", pools = ",,,,,,,,,,,,,", ttft = "100",
              tpot = "10";
  std::string line() const {
    return id + ',' + source + ',' + backend + ',' + version + ',' + llm + ',' + system + ',' +
           precision + ',' + mode + ',' + isl + ',' + osl + ',' + precision + ",,8," + tp + ",1," +
           dp + ',' + moe_tp + ',' + moe_ep + ',' + pools + ',' + ttft + ',' + tpot + '\n';
  }
};

std::vector<Read> read(const std::string& rows) {
  return silicon_format().read(parse_csv(kHeader + rows, "hand.csv"));
}

Measurement first(const Row& row) {
  const auto all = read(row.line());
  REQUIRE(all.size() == 2);  // TTFT and TPOT
  REQUIRE(std::holds_alternative<Measurement>(all[0]));
  return std::get<Measurement>(all[0]);
}

std::string refusal(const Row& row, std::size_t which = 0) {
  const auto all = read(row.line());
  REQUIRE(all.size() == 2);
  return std::holds_alternative<Refusal>(all[which]) ? std::get<Refusal>(all[which]).reason : "";
}

}  // namespace

TEST_CASE("accuracy: the id's tag, not the columns, says how many GPUs ran") {
  CHECK(gpus_of_tag("2026_04_06_dsr1_b200_sxm_trtllm_fp4_agg_1024x1024_c8_tp4_ep4_1040") == 4);
  CHECK(gpus_of_tag("x_c64_tp16_0_ep4_0_568") == 16);
  CHECK(gpus_of_tag("dsr1_b200_sglang_fp8_agg_8192x1024_c64_cfg75") == 0);
  struct Case {
    int tag;
    Layout columns;
    int tp, dp;
    bool expert;
  };
  const Case cases[] = {
      {8, {8, 1, 1, 8, 1}, 8, 1, false},  // as it stands
      {4, {16, 1, 1, 4, 4}, 4, 1, true},  // columns hold GPUs · ep
      {4, {4, 1, 1, 1, 4}, 4, 1, true},   // columns hold GPUs
      {8, {1, 1, 64, 8, 8}, 1, 8, true},  // attention data parallel, squared
      {4, {4, 1, 4, 1, 16}, 1, 4, true},  // the same, spread over both columns
      {2, {4, 1, 1, 2, 2}, 2, 1, true},   // the small case that hides
      {0, {64, 1, 1, 8, 8}, 8, 1, true},  // no tag: the square root
      {0, {2, 1, 2, 1, 4}, 1, 2, true},   // no tag, tp = dp
      {0, {4, 1, 1, 4, 1}, 4, 1, false},  // no tag, nothing squared
      {0, {1, 1, 32, 32, 1}, 1, 32, false},
  };
  for (const Case& c : cases) {
    const Layout l = untangle(c.columns, c.tag);
    CAPTURE(c.columns.tp);
    CAPTURE(c.columns.dp);
    CHECK(l.tp == c.tp);
    CHECK(l.dp == c.dp);
    CHECK(l.expert == c.expert);
  }
}

TEST_CASE("accuracy: a row is two measurements in seconds, its formats resolved") {
  const auto all = read(Row{}.line());
  const auto& ttft = std::get<Measurement>(all[0]);
  const auto& tpot = std::get<Measurement>(all[1]);
  CHECK(ttft.metric == "ttft");
  CHECK(ttft.value == doctest::Approx(0.1));
  CHECK(tpot.metric == "tpot");
  CHECK(tpot.value == doctest::Approx(0.01));
  CHECK(tpot.line == 2);
  CHECK(tpot.concurrency == 8);
  CHECK(tpot.weights == Dtype::fp8);
  CHECK(tpot.kv == Dtype::bf16);  // vLLM on Hopper, not asked for FP8
  CHECK(first({.backend = "trtllm"}).kv == Dtype::fp8);
  CHECK(first({.system = "b200_sxm"}).kv == Dtype::fp8);
  CHECK(first({.precision = ""}).weights == Dtype::bf16);
}

TEST_CASE("accuracy: malformed rows are refused with the reason, never dropped") {
  CHECK(refusal({.isl = "0"}).find("malformed") == 0);
  CHECK(refusal({.isl = "2k"}).find("malformed") == 0);
  CHECK(refusal({.osl = "nan"}).find("malformed") == 0);
  CHECK(refusal({.osl = "12.5"}).find("malformed") == 0);
  CHECK(refusal({.mode = "mixed"}).find("malformed") == 0);
  CHECK(refusal({.tpot = "nan"}, 1).find("malformed") == 0);
  CHECK(refusal({.tpot = "nan"}, 0).empty());  // its TTFT is fine
  CHECK(refusal({.ttft = "-3"}).find("above zero") != std::string::npos);
  const auto rest = read("short,row\n" + Row{}.line());
  REQUIRE(rest.size() == 4);
  CHECK(std::get<Refusal>(rest[0]).reason.find("cells") != std::string::npos);
  CHECK(std::holds_alternative<Measurement>(rest[2]));
  // A rack's totals under the name of one engine.
  CHECK(refusal({.id = "r_c512_tp36_ep1_1", .system = "gb200", .tp = "36", .moe_tp = "36"})
            .find("rack") != std::string::npos);
}

TEST_CASE("accuracy: repeats share a configuration, anything a prediction sees tells them apart") {
  const std::string base = first({}).configuration;
  CHECK(first({.id = "again_c8_tp8_ep1_77", .version = "0.12.0", .tpot = "12"}).configuration ==
        base);
  CHECK(first({.osl = "256"}).configuration != base);
  CHECK(first({.backend = "sglang"}).configuration != base);
  CHECK(first({.id = "x_c8_tp4_ep1_1", .tp = "4", .moe_tp = "4"}).configuration != base);
}

TEST_CASE("accuracy: what the public harness fixes is added to its rows alone") {
  const std::string day = "source_file=2026-04-06.csv; silicon_concurrency=8";
  CHECK(first({}).more.count("shortest") == 0);
  CHECK(first({.source = day}).more.at("shortest") == 0.8);
  // Images that only the multi-token-prediction configurations still used.
  Row mtp{.source = day,
          .backend = "trtllm",
          .version = "1.2.0rc6.post3",
          .llm = "deepseek-ai/DeepSeek-R1",
          .system = "b200_sxm"};
  CHECK(first(mtp).more.at("mtp") == 3);
  mtp.version = "1.2.0rc6.post2";
  CHECK(first(mtp).more.count("mtp") == 0);
  mtp.version = "1.2.0rc6.post3", mtp.source = "db-dump/2026-04-27; silicon_concurrency=8";
  CHECK(first(mtp).more.count("mtp") == 0);
}
