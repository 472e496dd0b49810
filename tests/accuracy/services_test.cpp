// Tables of whole services: laws and floors by hand.
#include <doctest/doctest.h>

#include "tests/accuracy/table.hpp"

using namespace kvroof;
using namespace kvroof::accuracy;
using doctest::Approx;

TEST_CASE("in-flight batching: twice the cache is more throughput, never above the tensor peak") {
  const auto rate = [](const char* gpu) {
    return published(std::string("TensorRT-LLM perf-overview v0.13.0,u,") + gpu +
                         ",1,1,1,1,Llama-3.1-8B,FP8,FP8,128,2048,inf request rate,"
                         "output_throughput,20000,tok/s,in-flight batching\n",
                     "TensorRT-LLM in-flight batching at unlimited rate")
        .at(0)
        .value();
  };
  const double h100 = rate("H100 SXM 80GB"), h200 = rate("H200 SXM 141GB");
  CHECK(h200 > h100);
  // 2·7.5e9 FLOP a token at 1979 TFLOP/s: 132k tokens/s.
  CHECK(h200 < 132e3);
  CHECK(h100 > 5e3);
}

TEST_CASE("a single GH200 pair talks over the network, not over NVLink") {
  const auto rate = [](int tp) {
    return published("TensorRT-LLM perf-overview v0.13.0,u,GH200 96GB HBM3 (480GB LPDDR5X)," +
                     std::to_string(tp) + "," + std::to_string(tp) +
                     ",1,1,Llama-3-70B,FP8,FP8,128,128,inf request rate,output_throughput,1800,"
                     "tok/s,in-flight batching\n")
        .at(0)
        .value();
  };
  // Two all-reduces of 16 KiB a token in each of 80 layers, prompt and output alike, at 50 GB/s:
  // 9537 output tokens/s at most.
  CHECK(rate(2) < 50e9 / (160 * 16384.0) / 2);
  CHECK(rate(4) > 2 * rate(2));  // twice the GPUs and no network between them
}

TEST_CASE("online: what arrives is served below capacity; unlimited arrival takes all it can") {
  const std::string head =
      "TensorRT-LLM perf-overview v0.14 online serving (Triton backend),u,H100 SXM 80GB,1,1,1,1,"
      "Llama-3.1-8B,BF16,BF16,467,256,";
  const auto rows = published(head + "QPS=2,request_throughput,2,req/s,500 requests\n" + head +
                                  "QPS=2,itl_mean,8,ms,500 requests\n" + head +
                                  "QPS=INF,request_throughput,37,req/s,500 requests\n" + head +
                                  "QPS=INF,output_throughput,9420,tok/s,500 requests\n",
                              "TensorRT-LLM online serving");
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].value() == Approx(2).epsilon(0.05));  // 500 Poisson arrivals: ±4.5 %
  // 7.505e9 BF16 parameters without the embedding: 4.48 ms a token at 3.35 TB/s.
  CHECK(rows[1].value() > 4.48e-3);
  CHECK(rows[2].value() > 10);
  CHECK(rows[3].value() == Approx(256 * rows[2].value()));
}

TEST_CASE("MLPerf offline: tokens are samples times tokens per sample, GPUs add up") {
  const auto rows_of = [](int gpus) {
    const std::string head = "MLPerf Inference v4.1,u,NVIDIA H200-SXM-141GB," +
                             std::to_string(gpus) +
                             ",,,,Llama-2-70B,FP16,,dataset,dataset,Offline (unlimited),";
    const std::string note = "\"MLPerf v4.1 closed, scenario Offline, dataset OpenOrca\"\n";
    return published(head + "output_throughput,32000,tok/s," + note + head +
                         "sample_throughput,110,samples/s," + note,
                     "MLPerf Inference");
  };
  const auto eight = rows_of(8), four = rows_of(4);
  REQUIRE(eight.size() == 2);
  CHECK(eight[0].value() / eight[1].value() == Approx(290).epsilon(0.05));
  CHECK(eight[0].value() == Approx(2 * four[0].value()).epsilon(0.02));
  // 137.9e9 FLOP a token and 250 + 290 tokens a sample: 8·1979e12/(137.9e9·540) = 213 samples/s.
  CHECK(eight[1].value() < 213);
}

TEST_CASE("MLPerf server: latencies at the edge of capacity are refused, rates are not") {
  const std::string head =
      "MLPerf Inference v4.1,u,NVIDIA H100-SXM-80GB,8,2,1,1,Llama-2-70B,FP8,FP8,dataset,dataset,";
  const std::string note = "\"MLPerf v4.1 closed, scenario Server, config: TP2, max_batch 1024\"\n";
  const auto rows =
      published(head + "QPS=40,ttft_mean,300,ms," + note + head + "QPS=4000,ttft_mean,300,ms," +
                note + head + "QPS=40,sample_throughput,40,samples/s," + note);
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].value() > 0);
  CHECK(rows[1].reason() == "the offered rate is the predicted capacity: no steady latency");
  CHECK(rows[2].value() == Approx(40).epsilon(0.08));
}

TEST_CASE("GPUStack: the command line decides engine, cut and limits") {
  const std::string head = "GPUStack performance lab,u,H100 SXM 80GB,4,1,1,1,Qwen3-32B,FP8,BF16,";
  const auto rows = published(
      head +
          "2000,100,all 500 requests at t=0,total_throughput,9000,tok/s,\"vLLM 0.11.0; case: "
          "random 2K; n=500 dur=1s; cmd: python3 -m sglang.launch_server --tp-size 4 "
          "--max-running-requests 32\"\n" +
          head +
          "2000,100,all 500 requests at t=0,total_throughput,9000,tok/s,\"SGLang; case: "
          "random 2K; n=500 dur=1s; cmd: vllm serve x -tp 4 --speculative-config y\"\n",
      "GPUStack performance lab");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].m.engine == "sglang");
  CHECK(rows[0].m.pool.tp == 4);
  CHECK(rows[0].m.more.at("max_num_seqs") == 32);
  CHECK(rows[0].value() > 0);
  CHECK(rows[1].m.engine == "vllm");
  CHECK(rows[1].reason() == "speculative decoding without the accepted length");
}

TEST_CASE("request by request: means and percentiles of the rows stand beside them") {
  const std::string head =
      "LLMServingSim 2.0 bench (vLLM 0.19.0 measured),u,RTX 4090 24GB,1,1,1,1,Llama-3.1-8B,BF16,"
      "BF16,";
  const auto note = [](int i, double at) {
    return ",ms,bench-" + std::to_string(i) + " arrival_s=" + std::to_string(at) +
           " max_num_batched_tokens=2048\n";
  };
  const auto rows = published(head + "512,101,max_num_seqs 256,ttft,100" + note(0, 0) + head +
                                  "512,101,max_num_seqs 256,ttft,300" + note(1, 100) + head +
                                  "512,101,max_num_seqs 256,tpot,18" + note(1, 100) + head +
                                  "512,101,max_num_seqs 256,makespan,102,s,whole run\n",
                              "vLLM runs request by request");
  // Four rows, and mean and p99 of the two metrics.
  REQUIRE(rows.size() == 8);
  const auto find = [&](const std::string& metric) {
    for (const Row& r : rows)
      if (r.m.metric == metric) return r;
    return Row{};
  };
  CHECK(find("ttft_mean").m.value == Approx(0.2));
  CHECK(find("ttft_p99").m.value == Approx(0.3));
  // The requests are alone: equal prompts take equal times.
  CHECK(rows[0].value() == Approx(rows[1].value()));
  CHECK(find("ttft_mean").value() == Approx(rows[0].value()));
  // 15.0 GB of BF16 weights at 1008 GB/s: 14.9 ms a token.
  CHECK(rows[2].value() > 14.8e-3);
  CHECK(rows[3].value() == Approx(100 + rows[1].value() + 100 * rows[2].value()).epsilon(1e-3));
}
