// Tables of fixed batches: predictions against floors computed by hand.
#include <doctest/doctest.h>

#include "tests/accuracy/table.hpp"

using namespace kvroof;
using namespace kvroof::accuracy;

// Llama-2-7B without its embedding: 6,738,415,616 − 32000·4096 = 6.607e9 parameters; FP16 weights
// take 13.21 GB / 2.039 TB/s = 6.48 ms a step of an A100, 1.62 ms on four. K/V 524,288 B a token.

TEST_CASE("TensorRT-LLM static batches stay below the roofline and near it") {
  const auto rows = published(
      "TensorRT-LLM perf docs v0.9.0,u,A100 SXM 80GB,1,1,1,1,Llama-2-7B,FP16,FP16,128,2048,32,"
      "output_throughput_per_gpu,1484,tok/s/GPU,static batch\n"
      "TensorRT-LLM perf docs v0.9.0,u,A100 SXM 80GB,1,1,1,1,Llama-2-7B,FP16,FP16,2048,1,1,ttft,"
      "132.4,ms,first-token latency\n",
      "TensorRT-LLM static batches");
  REQUIRE(rows.size() == 2);
  // Mean context 128 + 1024: 32·1152·524288 B = 19.33 GB, with the weights 32.54 GB: 15.96 ms.
  const double floor_step = 15.96e-3;
  CHECK(rows[0].value() < 32 / floor_step);
  CHECK(rows[0].value() > 0.5 * 32 / floor_step);
  // 2·6.476e9·2048 (layers) + 4·32·4096·2048²/2: 27.6e12 FLOP / 312e12 = 88.5 ms.
  CHECK(rows[1].value() > 88.4e-3);
  CHECK(rows[1].value() < 2 * 88.4e-3);
}

TEST_CASE("per-GPU and whole-group throughput differ by the GPUs") {
  const std::string row =
      "TensorRT-LLM perf docs v0.8.0,u,A100 SXM 80GB,4,4,1,1,Llama-2-70B,FP16,FP16,128,128,64,";
  const auto rows = published(row + "output_throughput_per_gpu,500,tok/s/GPU,\n" + row +
                              "output_throughput,2000,tok/s,\n");
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].value() == doctest::Approx(4 * rows[0].value()));
}

TEST_CASE("early engines do not share K/V among the query heads of a group of four") {
  const auto rate = [](const char* version) {
    return published(std::string("TensorRT-LLM perf docs ") + version +
                     ",u,H200 SXM 141GB,1,1,1,1,Mistral-7B,FP8,FP8,128,2048,120,"
                     "output_throughput_per_gpu,8968,tok/s/GPU,\n")
        .at(0)
        .value();
  };
  // 120 requests of 1152 tokens: 9.06 GB of FP8 K/V read once, 36.2 GB when each of four heads
  // reads it: the shared kernel cannot be slower.
  CHECK(rate("v0.9.0") < 0.8 * rate("v0.12.0"));
  // Groups of eight heads of 128 had their kernel from v0.6.
  const auto group8 = [](const char* version) {
    return published(std::string("TensorRT-LLM perf docs ") + version +
                     ",u,H100 SXM 80GB,4,4,1,1,Llama-2-70B,FP8,FP8,128,2048,64,output_throughput,"
                     "2616,tok/s,\n")
        .at(0)
        .value();
  };
  CHECK(group8("v0.9.0") == doctest::Approx(group8("v0.12.0")));
  CHECK(group8("v0.5.0") < group8("v0.9.0"));
}

TEST_CASE("LLM-Inference-Bench: impossible rows and over-long ones are refused") {
  const std::string head =
      "\"Argonne LLM-Inference-Bench (arXiv 2411.00136), vLLM\",u,A100 40GB,1,1,1,1,";
  const auto rows = published(
      head + "Llama-2-7B,FP16,FP16,512,512,1,e2e_latency,6.9,s,fixed batch\n" +
          // 512 steps of 6.48 ms (2.039 TB/s; the 40 GB part has 1.555) are 3.3 s at least.
          head + "Llama-2-7B,FP16,FP16,512,512,1,e2e_latency,1.0,s,fixed batch\n" + head +
          "OPT-6.7B,FP16,FP16,2048,2048,1,e2e_latency,0.05,s,fixed batch\n",
      "LLM-Inference-Bench");
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].value() > 512 * 6.48e-3 * 2.039 / 1.555);
  CHECK(rows[1].reason() == "the measured time is below the speed of light");
  CHECK(rows[2].reason() == "prompt and output exceed the network's positions");
}

TEST_CASE("vLLM of 2023 waits for its host: more GPUs hardly help") {
  const auto rows = published(
      "SplitwiseSim measured perf_model (ISCA24 Splitwise),u,H100 SXM 80GB (DGX-H100),8,8,1,1,"
      "Llama-2-70B,FP16,FP16,512,128,1,tpot_mean,45,ms,\"mean, min 44 max 46\"\n"
      "SplitwiseSim measured perf_model (ISCA24 Splitwise),u,H100 SXM 80GB (DGX-H100),4,4,1,1,"
      "Llama-2-70B,FP16,FP16,512,128,1,tpot_mean,45,ms,\"mean, min 44 max 46\"\n"
      "SplitwiseSim measured perf_model (ISCA24 Splitwise),u,H100 SXM 80GB (DGX-H100),4,4,1,1,"
      "Llama-2-70B,FP16,FP16,512,8192,1,e2e_latency,17006,ms,\"mean, min 17006 max 203425\"\n",
      "Splitwise static batches");
  REQUIRE(rows.size() == 3);
  // Weights alone: 137.9 GB / 8 / 3.35 TB/s = 5.1 ms; 80 layers of at least eight operators at 40
  // us are 25.6 ms.
  CHECK(rows[0].value() > 25.6e-3);
  CHECK(rows[0].value() > 0.85 * rows[1].value());
  CHECK(rows[2].reason() == "its repeats differ by more than a factor of two");
}

TEST_CASE("the slope of a prefill fit is at least the FLOPs of a token") {
  const auto rows = published(
      "DistServe latency fits (distserve engine),u,A100 SXM 80GB,1,1,1,1,OPT-13B,FP16,FP16,,,,"
      "prefill_fit_b,0.1019,ms/token,t = a + b*X + c*Y; b\n"
      "DistServe latency fits (distserve engine),u,A100 SXM 80GB,1,1,1,1,OPT-13B,FP16,FP16,,,,"
      "decoding_largebs_fit_b,0.00058,ms/token,t = a + b*X + c*Y; b\n",
      "DistServe fits");
  REQUIRE(rows.size() == 2);
  // Layers of OPT-13B: 40·(4·5120² + 8·5120²) = 12.58e9 parameters: 80.7 us a token at 312 TFLOP/s.
  CHECK(rows[0].value() > 80.7e-6);
  CHECK(rows[0].value() < 2 * 80.7e-6);
  // A cached token is 2·40·5120·2 B = 819,200 B: 0.402 us at 2.039 TB/s.
  CHECK(rows[1].value() > 0.401e-6);
  CHECK(rows[1].value() < 2 * 0.402e-6);
}
