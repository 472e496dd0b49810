// Rows planted by hand: which beat the speed of light, which are malformed, which are fine.
#include "model/lint.hpp"

#include <doctest/doctest.h>

#include "model/public_names.hpp"
#include "model/user_error.hpp"

using namespace kvroof;

namespace {

LintReport check(const char* text, LintOptions options = {}) {
  return lint(parse_csv(text, "rows.csv"), options);
}

}  // namespace

TEST_CASE("decode attention above HBM bandwidth is impossible") {
  // 32 · 8 · 32768 · 2 · 128 · 2 B = 4.29 GB: 1282 us at 3.35 TB/s.
  // A public table once said 741 us.
  const LintReport r = check(
      "op_name,device,batch_size,isl,num_heads,num_key_value_heads,head_dim,attn_dtype,kv_cache_"
      "dtype,step,latency\n"
      "generation_attention,NVIDIA H100 80GB HBM3,32,32768,16,8,128,bfloat16,bfloat16,0,0.741\n"
      "generation_attention,NVIDIA H100 80GB HBM3,32,32768,16,8,128,bfloat16,bfloat16,0,1.45\n");
  CHECK(r.checked == 2);
  REQUIRE(r.findings.size() == 1);
  CHECK(r.findings[0].line == 2);
  CHECK(r.findings[0].ratio == doctest::Approx(1.73).epsilon(0.003));
}

TEST_CASE("malformed rows: m = 0, a word for a number, a missing cell") {
  const LintReport r = check(
      "device,gemm_dtype,m,n,k,latency\n"
      "NVIDIA H200,bfloat16,0,4096,4096,0.01\n"
      "NVIDIA H200,bfloat16,128,4096,4096,fast\n"
      "NVIDIA H200,bfloat16,128,4096\n"
      "NVIDIA H200,bfloat16,8192,8192,8192,1.458\n"
      "NVIDIA H200,bfloat16,8192,8192,8192,0.9\n");
  REQUIRE(r.findings.size() == 4);
  CHECK(r.findings[0].malformed);
  CHECK(r.findings[1].what == "latency: expected a number above 0, got \"fast\"");
  CHECK(r.findings[2].malformed);
  // 2 · 8192^3 FLOP in 0.9 ms is 1222 TFLOP/s; 1070 is the peak at the highest clock.
  CHECK_FALSE(r.findings[3].malformed);
  CHECK(r.findings[3].line == 6);
}

TEST_CASE("plain tables of bytes and times; a GPU must be named somewhere") {
  const char* text = "name,bytes,time_us\ncopy,8.6e9,2090\nmagic,8.6e9,1000\n";
  CHECK(check(text).checked == 0);
  const LintReport r = check(text, {.hardware = "h200-sxm-141gb"});
  REQUIRE(r.findings.size() == 1);
  CHECK(r.findings[0].line == 3);
}

TEST_CASE("end-to-end rows: one token reads the weights once") {
  // Llama-3.1-70B BF16 on one H200: 139.0 GB / 4.8 TB/s = 29.0 ms a token.
  const LintReport r = check(
      "hardware,num_gpus,model,weight_dtype,kv_dtype,isl,batch_or_concurrency,metric,value,unit,"
      "note\n"
      "H200 SXM 141GB,1,Llama-3.1-70B,BF16,BF16,128,1,tpot_mean,20,ms,\n"
      "H200 SXM 141GB,1,Llama-3.1-70B,BF16,BF16,128,1,tpot_mean,36,ms,\n");
  REQUIRE(r.findings.size() == 1);
  CHECK(r.findings[0].line == 2);
}

TEST_CASE("other tables are refused with what was expected; broken CSV has a place") {
  CHECK_THROWS_AS(check("a,b\n1,2\n"), UserError);
  CHECK_THROWS_WITH(check("a,\"b\n1,2\n"), "rows.csv:1:1: expected a closing quote before the end");
  CHECK_THROWS_AS(check(""), UserError);
}

TEST_CASE("GPU and network names as they are found in files") {
  CHECK(hardware_id("NVIDIA H100 80GB HBM3") == "h100-sxm-80gb");
  CHECK(hardware_id("h200_sxm") == "h200-sxm-141gb");
  CHECK(hardware_id("GH200 96GB") == "gh200-96gb");
  CHECK(hardware_id("NVIDIA GB200") == "gb200-186gb");
  CHECK(hardware_id("B200 180GB (DGX B200)") == "b200-sxm-180gb");
  CHECK(hardware_id("A100 SXM 80GB (DGX-A100)") == "a100-sxm-80gb");
  CHECK(hardware_id("A100 40GB") == "a100-sxm-40gb");
  CHECK(hardware_id("TPU v5e").empty());
  CHECK(llm_candidates("nvidia/Llama-3.1-8B-Instruct-FP8").back() == "llama-3.1-8b");
}
