// Start commands of the three engines, as their documentation and model cards print them.
#include "model/engine_args.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "model/shell_words.hpp"
#include "model/user_error.hpp"

using namespace kvroof;

namespace {

std::string value(const EngineArgs& a, std::string_view path) {
  std::string found = "absent";
  for (const Override& o : a.overrides)
    if (o.path == path) found = o.value;
  return found;
}

bool ignored(const EngineArgs& a, const std::string& what) {
  return std::find(a.ignored.begin(), a.ignored.end(), what) != a.ignored.end();
}

Scenario scenario(const std::string& command, std::vector<Override> more = {}) {
  std::vector<Override> all{{"hardware", "h100-sxm-80gb", "--hardware"},
                            {"workload.batch", "1", ""},
                            {"workload.context", "1024", ""}};
  for (Override& o : parse_engine_args(command).overrides) all.push_back(std::move(o));
  all.insert(all.end(), more.begin(), more.end());
  return scenario_from_overrides(all);
}

}  // namespace

TEST_CASE("words are split as a POSIX shell splits them") {
  using Words = std::vector<std::string>;
  const auto words = [](std::string_view s) { return shell_words(s, "--engine-args"); };
  CHECK(words("a  b\tc\n d") == Words{"a", "b", "c", "d"});
  CHECK(words(R"(a 'b "c" \d' "e 'f' \"g\" \h")") == Words{"a", "b \"c\" \\d", "e 'f' \"g\" \\h"});
  CHECK(words(R"(a\ b --x='y z'w "")") == Words{"a b", "--x=y zw", ""});
  CHECK(words("vllm serve m \\\n  -tp 4 \\\r\n  -pp 2") ==
        Words{"vllm", "serve", "m", "-tp", "4", "-pp", "2"});
  CHECK(words("a b # the rest\nc#d") == Words{"a", "b", "c#d"});
  CHECK(words("").empty());
  CHECK_THROWS_WITH_AS(words("vllm 'serve"),
                       "--engine-args: character 6: the quote ' is never closed", UserError);
  CHECK_THROWS_WITH_AS(
      words("vllm serve m | tee log"),
      "--engine-args: character 14: expected one command, got the shell operator |", UserError);
}

TEST_CASE("vllm serve becomes the scenario it describes") {
  const Scenario s = scenario(
      "CUDA_VISIBLE_DEVICES=0,1,2,3 vllm serve meta-llama/Llama-3.1-8B -tp 4 "
      "--pipeline-parallel-size=2 --max-model-len 8192 --max_num_seqs 128 --dtype bfloat16 "
      "--kv-cache-dtype fp8 --gpu-memory-utilization 0.85 --enforce-eager "
      "--no-enable-prefix-caching --port 8000 --trust-remote-code");
  CHECK(s.engine == "vllm");
  CHECK(s.model == "meta-llama/Llama-3.1-8B");
  CHECK(s.policy.parallel.tensor == 4);
  CHECK(s.policy.parallel.pipeline == 2);
  CHECK(s.policy.max_model_len == 8192);
  CHECK(s.policy.max_num_seqs == 128);
  CHECK(s.policy.activations == Dtype::bf16);
  CHECK(s.policy.kv == Dtype::fp8);
  CHECK(s.policy.gpu_memory_utilization == 0.85);
  CHECK_FALSE(s.policy.cuda_graphs);
  CHECK_FALSE(s.scheduler.prefix_caching);
}

TEST_CASE("what is ignored is listed as it was written") {
  const EngineArgs a = parse_engine_args(
      "CUDA_VISIBLE_DEVICES=0 vllm serve --trust-remote-code --port 8000 some/model "
      "--served-model-name a b --enable-auto-tool-choice -O3 --seed -1 -tp 2");
  CHECK(a.engine == "vllm");
  CHECK(value(a, "model") == "some/model");
  CHECK(value(a, "serving.tensor_parallel_size") == "2");
  CHECK(a.ignored == std::vector<std::string>{"CUDA_VISIBLE_DEVICES=0", "--trust-remote-code",
                                              "--port 8000", "--served-model-name a b",
                                              "--enable-auto-tool-choice", "-O3", "--seed -1"});
}

TEST_CASE("the module and the container image of vLLM are its server too") {
  for (const char* command :
       {"python3 -m vllm.entrypoints.openai.api_server --model some/model --enable-expert-parallel "
        "--data-parallel-size 8",
        "docker run --gpus all -p 8000:8000 vllm/vllm-openai:latest --model some/model "
        "--enable-expert-parallel -dp 8"}) {
    CAPTURE(command);
    const EngineArgs a = parse_engine_args(command);
    CHECK(a.engine == "vllm");
    CHECK(value(a, "model") == "some/model");
    CHECK(value(a, "serving.enable_expert_parallel") == "true");
    CHECK(value(a, "serving.data_parallel_size") == "8");
  }
}

TEST_CASE("vLLM's lengths: k is 1000, K is 1024, -1 is the model's own") {
  const auto length = [](const std::string& text) {
    return value(parse_engine_args("vllm serve m --max-model-len " + text),
                 "serving.max_model_len");
  };
  CHECK(length("8k") == "8000");
  CHECK(length("8K") == "8192");
  CHECK(length("25.6k") == "25600");
  CHECK(length("1M") == "1048576");
  CHECK(length("-1") == "auto");
  CHECK(length("auto") == "auto");
  CHECK(length("eight") == "eight");  // refused by the scenario, which knows the range
}

TEST_CASE("speculative decoding of vLLM is a JSON object, of SGLang four flags") {
  const Scenario v = scenario(
      "vllm serve meta-llama/Llama-3.1-70B --speculative-config "
      R"('{"model": "llama-3.2-1b", "num_speculative_tokens": 5, "draft_tensor_parallel_size": 1}')");
  CHECK(v.speculative->method == DraftMethod::draft_model);
  CHECK(v.speculative->num_speculative_tokens == 5);
  CHECK(v.speculative->draft_model == "llama-3.2-1b");
  const EngineArgs s = parse_engine_args(
      "python -m sglang.launch_server --model-path m --speculative-algorithm EAGLE3 "
      "--speculative-draft-model-path some/head --speculative-num-steps 3 "
      "--speculative-eagle-topk 1 --speculative-num-draft-tokens 4");
  CHECK(value(s, "speculative.method") == "eagle");
  CHECK(value(s, "speculative.num_speculative_tokens") == "3");
  CHECK(value(s, "speculative.draft_model") == "absent");
  CHECK(ignored(s, "draft head some/head"));
  CHECK(ignored(s, "--speculative-num-draft-tokens 4"));
  CHECK_THROWS_AS(parse_engine_args("vllm serve m --speculative-config '{'"), UserError);
}

TEST_CASE("SGLang: all ranks in --tp, attention replicas in --dp") {
  // 16 GPUs: attention in 8 replicas of 2 ranks, experts over all 16
  const Scenario s = scenario(
      "python3 -m sglang.launch_server --model-path deepseek-ai/DeepSeek-V3 --tp-size 16 "
      "--enable-dp-attention --dp-size 8 --ep-size 16 --mem-fraction-static 0.6 "
      "--max-running-requests 48 --chunked-prefill-size -1 --page-size 64 --disable-radix-cache "
      "--context-length 32768");
  CHECK(s.policy.engine == "sglang");
  CHECK(s.policy.parallel.tensor == 2);
  CHECK(s.policy.parallel.data == 8);
  CHECK(s.policy.parallel.gpus() == 16);
  CHECK(s.policy.parallel.expert);
  CHECK(s.policy.mem_fraction_static == 0.6);
  CHECK(s.policy.max_num_seqs == 48);
  CHECK(s.policy.block_size == 64);
  CHECK(s.policy.max_model_len == 32768);
  CHECK_FALSE(s.scheduler.chunked_prefill);
  CHECK_FALSE(s.scheduler.prefix_caching);
  CHECK_THROWS_AS(parse_engine_args("sglang serve --model m --tp 6 --dp 4 --enable-dp-attention"),
                  UserError);
}

TEST_CASE("trtllm-serve takes the model by position and underscores in flags") {
  const Scenario s = scenario(
      "mpirun -n 8 trtllm-serve meta-llama/Llama-3.1-70B --tp_size 8 --ep_size 1 "
      "--max_batch_size 64 --max_num_tokens 4096 --max_seq_len 8192 "
      "--kv_cache_free_gpu_memory_fraction 0.8 --backend pytorch");
  CHECK(s.policy.engine == "trtllm");
  CHECK(s.policy.parallel.tensor == 8);
  CHECK_FALSE(s.policy.parallel.expert);
  CHECK(s.policy.max_num_seqs == 64);
  CHECK(s.policy.max_num_batched_tokens == 4096);
  CHECK(s.policy.max_model_len == 8192);
  CHECK(s.policy.kv_cache_free_gpu_memory_fraction == 0.8);
}

TEST_CASE("memory fractions of other engines are not taken over") {
  const EngineArgs a = parse_engine_args("vllm serve m --mem-fraction-static 0.8");
  CHECK(value(a, "serving.mem_fraction_static") == "absent");
  CHECK(ignored(a, "--mem-fraction-static 0.8"));
}

TEST_CASE("a quantised checkpoint's flag becomes its weight format") {
  CHECK(scenario("vllm serve m -q awq_marlin").policy.weights == Dtype::int4_g128);
  CHECK(scenario("vllm serve m --quantization fp8").policy.weights == Dtype::fp8);
  CHECK(scenario("sglang serve --model m --quantization modelopt_fp4").policy.weights ==
        Dtype::nvfp4);
  CHECK_FALSE(scenario("vllm serve m -q compressed-tensors").policy.weights.has_value());
}

TEST_CASE("refusals name the flag and what was expected") {
  const auto refused = [](const std::string& command, const std::string& message) {
    CAPTURE(command);
    CHECK_THROWS_WITH_AS(scenario(command), doctest::Contains(message.c_str()), UserError);
  };
  refused("ollama run llama3", "--engine-args: expected 'vllm serve …'");
  refused("vllm serve m -tp", "--engine-args: -tp: expected a value, got nothing");
  refused("vllm serve m -tp --port 1", "--engine-args: -tp: expected a value, got nothing");
  refused("vllm serve m -tp four",
          "--engine-args -tp four: serving.tensor_parallel_size: expected an integer from 1 to "
          "4096, got \"four\"");
  refused("vllm serve m --tensor-parallel 4",
          "unknown flag --tensor-parallel, did you mean --tensor-parallel-size?");
  refused("vllm serve m --max-num-seq 4",
          "unknown flag --max-num-seq, did you mean --max-num-seqs?");
  refused("vllm serve m n", "--engine-args: expected a flag, got \"n\"");
  refused("vllm serve m --enforce-eager=maybe", "expected true or false, got \"maybe\"");
  refused("sglang serve --model m --ep-size two", "--ep-size: expected an integer >= 1");
}
