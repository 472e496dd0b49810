// Operator tables, network profiles, speculation and assorted figures against arithmetic.
#include <doctest/doctest.h>

#include "model/accuracy/nccl.hpp"
#include "model/accuracy/operator_row.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "tests/accuracy/table.hpp"

using namespace kvroof;
using namespace kvroof::accuracy;
using doctest::Approx;

TEST_CASE("a product's row: 8192 cubed at BF16 is 1.0995 TFLOP, 1.111 ms at the peak of H100") {
  const auto rows = table(
      "framework,version,device,op_name,kernel_source,gemm_dtype,m,n,k,latency\n"
      "TRTLLM,1,NVIDIA H100 80GB HBM3,gemm,torch_flow,bfloat16,8192,8192,8192,1.6\n"
      "TRTLLM,1,NVIDIA H100 80GB HBM3,gemm,torch_flow,fp8,8192,8192,8192,0.9\n"
      "TRTLLM,1,NVIDIA H100 80GB HBM3,gemm,torch_flow,bfloat16,16,8192,28672,0.2\n"
      "TRTLLM,1,NVIDIA H100 80GB HBM3,gemm,torch_flow,fp6,16,8192,28672,0.2\n"
      "TRTLLM,1,NVIDIA H100 80GB HBM3,gemm,torch_flow,bfloat16,0,8192,28672,0.2\n"
      "TRTLLM,1,Some GPU,gemm,torch_flow,bfloat16,16,8192,28672,0.2\n",
      "operator tables");
  REQUIRE(rows.size() == 6);
  CHECK(rows[0].m.value == Approx(1.6e-3));
  CHECK(rows[0].value() > 1.111e-3);
  CHECK(rows[0].value() < 1.111e-3 / 0.7);
  CHECK(rows[1].value() < rows[0].value());
  // 470 MB of weights at 3.35 TB/s: 140 us.
  CHECK(rows[2].value() > 140e-6);
  CHECK(rows[2].value() < 140e-6 / 0.7);
  CHECK(rows[3].reason() == "unknown format 'fp6'");
  CHECK_FALSE(rows[4].reason().empty());
  CHECK(rows[5].reason() == "no hardware profile for Some GPU");
}

TEST_CASE("decode attention reads the cache: 32 x 8192 tokens of eight heads are 1.07 GB") {
  const auto rows = table(
      "framework,version,device,op_name,batch_size,isl,num_heads,num_key_value_heads,head_dim,"
      "window_size,attn_dtype,kv_cache_dtype,step,latency\n"
      "TRTLLM,1,NVIDIA H100 80GB HBM3,generation_attention,32,8192,64,8,128,0,bfloat16,bfloat16,0,"
      "0.4\n"
      "TRTLLM,1,NVIDIA H100 80GB HBM3,generation_attention,32,8192,64,8,128,0,bfloat16,fp8,0,0.2\n"
      "TRTLLM,1,NVIDIA H100 80GB HBM3,context_attention,1,8192,64,8,128,0,bfloat16,bfloat16,0,5\n");
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].value() > 1.0737e9 / 3.35e12);
  CHECK(rows[1].value() > 0.5369e9 / 3.35e12);
  CHECK(rows[1].value() < rows[0].value());
  // Causal: 2·64·8192²·256/2 = 1.0995e12 FLOP.
  CHECK(rows[2].value() > 1.111e-3);
}

TEST_CASE("experts: more tokens touch more of them until all weights are read") {
  const auto time = [](double tokens) {
    const OperatorRow r{.table = OperatorTable::moe,
                        .operation = "moe",
                        .weights = Dtype::bf16,
                        .shape = {tokens, 7168, 2048, 8, 256, 1, 1}};
    const Machine m = to_machine(load_profile(find_profile("h100-sxm-80gb", search_roots())));
    return operator_time(r, m).value;
  };
  // One expert is 3·7168·2048·2 B = 88.1 MB: eight take 210 us, all 256 take 6.73 ms.
  CHECK(time(1) > 210e-6);
  CHECK(time(1) < 2 * 210e-6);
  CHECK(time(512) > 6.73e-3);
  CHECK(time(512) < 2 * 6.73e-3);
}

TEST_CASE("a row survives its packing") {
  OperatorRow r{.table = OperatorTable::attention,
                .operation = "generation_attention",
                .kernel = "",
                .weights = Dtype::fp8,
                .cache = Dtype::int8,
                .shape = {32, 131072, 1, 64, 8, 128, 4096}};
  const OperatorRow back = unpacked(r.packed());
  CHECK(back.table == r.table);
  CHECK(back.operation == r.operation);
  CHECK(back.weights == r.weights);
  CHECK(back.cache == r.cache);
  CHECK(back.shape == r.shape);
}

TEST_CASE("all-reduce over NVLink: twice seven eighths of a gibibyte on eight A100") {
  const auto rows = published(
      "Vidur network profile (MIT),u,DGX-A100 80GB (NVSwitch),8,8,,,,FP16,,,,message "
      "bytes=1073741824,all_reduce_time,9,ms,\n"
      "Vidur network profile (MIT),u,DGX-A100 80GB (NVSwitch),2,2,,,,FP16,,,,message bytes=1024,"
      "all_reduce_time,0.03,ms,\n"
      "Vidur network profile (MIT),u,A100 pairwise NVLink (Azure NC A100 v4),4,4,,,,FP16,,,,"
      "message bytes=1024,all_reduce_time,0.03,ms,\n",
      "Vidur network profile");
  REQUIRE(rows.size() == 3);
  // 1.75·1.0737e9 B at 300 GB/s: 6.26 ms at line rate.
  CHECK(rows[0].value() > 6.26e-3);
  CHECK(rows[0].value() < 6.26e-3 / 0.6);
  CHECK(rows[1].value() > 5e-6);
  CHECK(rows[2].reason() == "GPUs linked in pairs: the path between pairs is not modelled");
}

TEST_CASE("an exchange through staging buffers takes as long as its SMs need") {
  const auto rows = table(
      "framework,version,device,op_name,kernel_source,node_num,hidden_size,num_token,num_topk,"
      "num_experts,dispatch_sms,dispatch_transmit_us,dispatch_notify_us,combine_sms,"
      "combine_transmit_us,combine_notify_us\n"
      "sglang,0.5.12,NVIDIA H100 80GB HBM3,normal,deepep,1,7168,4096,8,256,24,700,0,12,2000,0\n",
      "operator tables");
  REQUIRE(rows.size() == 2);
  // 8·(1 − (7/8)^8) = 5.251 of 8 ranks hold a chosen expert; 7/8 of the copies leave the GPU:
  // 4096·5.251·7168·2·7/8 = 269.8 MB at 24·26 GB/s there and 12·16 GB/s back.
  CHECK(rows[0].value() == Approx(26e-6 + 269.8e6 / 624e9).epsilon(1e-3));
  CHECK(rows[1].value() == Approx(40e-6 + 269.8e6 / 192e9).epsilon(1e-3));
}

TEST_CASE("speculation: below the accepted length, and lengths are never predicted") {
  const std::string head = "Spec-Bench leaderboard,u,A100 80GB,1,1,,,Vicuna-7B-v1.3,FP16,FP16,,,1,";
  const auto rows = published(
      head + "specdec_speedup,2.36,x,\"method EAGLE2, overall, greedy\"\n" + head +
          "acceptance_length,4.34,tokens/step,\"method EAGLE2, mean accepted tokens per decoding "
          "step, all tasks\"\n" +
          head + "specdec_speedup,2.4,x,\"method EAGLE2, task math, greedy\"\n",
      "speculative decoding");
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].value() < 4.34);
  CHECK(rows[0].value() > 1);
  CHECK_FALSE(rows[1].reason().empty());
  CHECK(rows[2].reason() == "the accepted length of a single task is not stated");
}

TEST_CASE("assorted figures: a batch of one, and rows that state too little") {
  const auto rows = published(
      "a README,u,A100 SXM 80GB,1,1,1,1,Llama-2-7B,BF16,BF16,5,,1,decode_tokens_per_s,104.9,tok/s,"
      "batch 1\n"
      "a README,u,A100 SXM 80GB,1,1,1,1,Llama-2-7B,FP32,FP16,5,,1,decode_tokens_per_s,46,tok/s,"
      "batch 1\n"
      "a page,u,H100 SXM 80GB,,,,,DeepSeek-R1,FP8,,1024,1024,~52,throughput_per_gpu,73,tok/s/GPU,"
      "interpolated at 71 tok/s/user\n"
      "a page,u,H100 SXM "
      "80GB,,,,,DeepSeek-R1,FP8,,1024,1024,~52,cost_per_million_tokens,4.8,USD,\n",
      "published figures");
  REQUIRE(rows.size() == 4);
  // 13.21 GB at 2.039 TB/s: 154 tokens/s at most; FP32 half of it.
  CHECK(rows[0].value() < 154.4);
  CHECK(rows[0].value() > 77);
  CHECK(rows[1].value() < 77.2);
  CHECK(rows[2].reason() == "the deployment is not stated");
  CHECK(rows[3].reason() == "a price");
}
