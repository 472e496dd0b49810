// The field table of scenarios; see fields.hpp. Keys of `serving` are vLLM's flags in snake_case.
#pragma once
#include "model/printer.hpp"
#include "model/reader.hpp"
#include "model/scenario.hpp"

namespace kvroof {

void read_custom(const Node& n, const std::string& path, const Field& f, Sweep& out,
                 ReadContext& c);
Node custom_node(const Sweep& sweep, NumberStyle style);

template <class V>
void fields(V& v, Lengths& l) {
  v("mean", l.mean, {.doc = "mean number of tokens", .min = 1, .max = 1e8});
  v("p50", l.p50, {.doc = "median", .min = 1, .max = 1e8});
  v("p95", l.p95, {.doc = "95th percentile", .min = 1, .max = 1e8});
  v("p99", l.p99, {.doc = "99th percentile", .min = 1, .max = 1e8});
  v("min", l.min, {.doc = "shortest", .min = 1, .max = 1e8});
  v("max", l.max, {.doc = "longest", .min = 1, .max = 1e8});
  v("distribution", l.distribution, {.doc = "fixed, lognormal, exponential or uniform"});
  v("trace", l.trace, {.doc = "file of recorded requests: Azure CSV, Mooncake or ShareGPT JSONL"});
}

template <class V>
void fields(V& v, Workload& w) {
  v("input_len", w.input_len, {.doc = "prompt tokens: a number, a distribution or a trace"});
  v("output_len", w.output_len, {.doc = "generated tokens: a number, a distribution or a trace"});
  v("max_concurrency", w.max_concurrency,
    {.doc = "closed loop: requests in flight", .min = 1, .max = 1e6, .whole = true});
  v("request_rate", w.request_rate,
    {.doc = "open loop: requests per second", .min = 0, .max = 1e6, .above_min = true});
  v("burstiness", w.burstiness,
    {.doc = "shape of gamma-distributed gaps; 1 is Poisson",
     .min = 0,
     .max = 1000,
     .above_min = true});
  v("prefix_hit_rate", w.prefix_hit_rate,
    {.doc = "share of prompt tokens found in the prefix cache", .min = 0, .max = 1});
  v("batch", w.batch,
    {.doc = "requests of the one step that is evaluated", .min = 1, .max = 1e6, .whole = true});
  v("context", w.context,
    {.doc = "tokens of each request in that step", .min = 1, .max = 1e8, .whole = true});
  v("num_requests", w.num_requests,
    {.doc = "requests of a simulation", .min = 1, .max = 1e9, .whole = true});
  v("seed", w.seed, {.doc = "seed of a simulation", .min = 0, .max = 2147483647, .whole = true});
}

template <class V>
void fields(V& v, Percentiles& p) {
  for (const auto& [key, member] : {std::pair{"mean", &Percentiles::mean},
                                    {"p50", &Percentiles::p50},
                                    {"p90", &Percentiles::p90},
                                    {"p95", &Percentiles::p95},
                                    {"p99", &Percentiles::p99}})
    v(key, p.*member, {.doc = "limit in milliseconds", .min = 0, .max = 1e9, .above_min = true});
}

template <class V>
void fields(V& v, Slo& s) {
  v("preset", s.preset,
    {.doc = "an MLPerf round's limits, such as mlperf-llama3.1-8b-interactive"});
  v("ttft_ms", s.ttft_ms, {.doc = "time to the first token"});
  v("tpot_ms", s.tpot_ms, {.doc = "time per output token after the first"});
  v("e2e_ms", s.e2e_ms, {.doc = "request sent to last token"});
}

template <class V>
void fields(V& v, Cost& c) {
  v("gpu_hour_usd", c.gpu_hour_usd,
    {.doc = "price of a GPU-hour in dollars; else the profile's", .min = 0, .max = 1e6});
}

template <class V>
void fields(V& v, attention::Tile& t) {
  v("m", t.m, {.doc = "rows of Q", .min = 1, .max = 1024});
  v("n", t.n, {.doc = "keys", .min = 1, .max = 1024});
  v("ctas_per_sm", t.ctas_per_sm, {.doc = "resident thread blocks", .min = 1, .max = 32});
  v("p_in_smem", t.p_in_smem, {.doc = "whether P passes through shared memory"});
}

template <class V>
void fields(V& v, KernelCall& k) {
  const auto count = [](std::string_view doc, double max = 1e8) {
    return Field{.doc = doc, .min = 1, .max = max, .whole = true};
  };
  v("variant", k.variant, {.doc = "an attention variant, such as flash_v2", .required = true});
  v("b", k.shape.b, count("requests"));
  v("s_q", k.shape.s_q, count("new tokens per request"));
  v("s_kv", k.shape.s_kv, count("tokens attended to, the new ones included"));
  v("h_q", k.shape.h_q, count("query heads", 65536));
  v("h_kv", k.shape.h_kv, count("K/V heads", 65536));
  v("d_qk", k.shape.d_qk, count("head size of Q and K", 65536));
  v("d_v", k.shape.d_v, count("head size of V and O", 65536));
  v("causal", k.shape.causal, {.doc = "query i sees keys up to s_kv - s_q + i"});
  v("window", k.shape.window,
    {.doc = "last keys seen, the query's own included; 0: all",
     .min = 0,
     .max = 1e8,
     .whole = true});
  v("dtype", k.dtype, {.doc = "format of q and o"});
  v("kv_dtype", k.kv_dtype, {.doc = "format of K and V", .automatic = "auto"});
  v("tile", k.options.tile, {.doc = "tile of the kernel; else the variant's own"});
  v("block_size", k.options.block_size,
    {.doc = "paged: tokens per page", .min = 1, .max = 65536, .whole = true});
  v("splits", k.options.splits,
    {.doc = "split-KV: splits; 0: the heuristic", .min = 0, .max = 4096, .whole = true});
  v("sparsity", k.options.sparsity,
    {.doc = "block-sparse: share of blocks computed", .min = 0, .max = 1, .above_min = true});
  v("shared_prefix", k.options.shared_prefix,
    {.doc = "cascade: tokens all requests share", .min = 0, .max = 1e8, .whole = true});
  v("sinks", k.options.sinks,
    {.doc = "first tokens that stay visible in a window", .min = 0, .max = 1e6, .whole = true});
  v("top_k", k.options.top_k, count("sparse selection: keys per query"));
  v("high_precision", k.options.high_precision,
    {.doc = "mixed-precision KV: newest tokens kept in dtype",
     .min = 0,
     .max = 1e8,
     .whole = true});
  v("sram_bytes", k.options.sram_bytes,
    {.doc = "flash_v1: on-chip memory of the paper, in bytes",
     .min = 1024,
     .max = 1e9,
     .whole = true});
  v("backward", k.options.backward, {.doc = "the backward pass"});
}

template <class V>
void fields(V& v, Policy& p) {
  const auto ranks = [](std::string_view doc, std::string_view vllm, std::string_view sglang,
                        std::string_view trtllm) {
    return Field{
        .doc = doc, .min = 1, .max = 4096, .vllm = vllm, .sglang = sglang, .trtllm = trtllm};
  };
  v("tensor_parallel_size", p.parallel.tensor,
    ranks("GPUs that share every layer", "--tensor-parallel-size -tp",
          "--tensor-parallel-size --tp-size --tp", "--tp_size --tensor_parallel_size"));
  v("pipeline_parallel_size", p.parallel.pipeline,
    ranks("stages of layers", "--pipeline-parallel-size -pp",
          "--pipeline-parallel-size --pp-size --pp", "--pp_size --pipeline_parallel_size"));
  v("data_parallel_size", p.parallel.data,
    ranks("replicas that share the requests", "--data-parallel-size -dp",
          "--data-parallel-size --dp-size --dp", ""));
  v("enable_expert_parallel", p.parallel.expert,
    {.doc = "experts spread over the ranks instead of being cut",
     .vllm = "--enable-expert-parallel -ep",
     .sglang = "--expert-parallel-size --ep-size --ep --enable-ep-moe",
     .trtllm = "--ep_size --moe_expert_parallel_size"});
  v("dtype", p.activations,
    {.doc = "format of activations and unquantised weights",
     .automatic = "auto",
     .vllm = "--dtype",
     .sglang = "--dtype",
     .trtllm = "--dtype"});
  v("quantization", p.weights,
    {.doc = "format of the linear layers; auto: as the checkpoint",
     .automatic = "auto",
     .vllm = "--quantization -q",
     .sglang = "--quantization"});
  v("kv_cache_dtype", p.kv,
    {.doc = "format of the KV cache; auto: as dtype",
     .automatic = "auto",
     .vllm = "--kv-cache-dtype",
     .sglang = "--kv-cache-dtype",
     .trtllm = "--kv_cache_dtype"});
  v("block_size", p.block_size,
    {.doc = "tokens of a KV page",
     .min = 1,
     .max = 65536,
     .vllm = "--block-size",
     .sglang = "--page-size",
     .trtllm = "--tokens_per_block"});
  v("max_num_seqs", p.max_num_seqs,
    {.doc = "requests of a step at most",
     .min = 1,
     .max = 1000000,
     .vllm = "--max-num-seqs",
     .sglang = "--max-running-requests",
     .trtllm = "--max_batch_size"});
  v("max_num_batched_tokens", p.max_num_batched_tokens,
    {.doc = "tokens of a step at most",
     .min = 1,
     .max = 100000000,
     .vllm = "--max-num-batched-tokens",
     .sglang = "--chunked-prefill-size",
     .trtllm = "--max_num_tokens"});
  v("max_model_len", p.max_model_len,
    {.doc = "longest request; 0 or auto: the network's own limit",
     .min = 0,
     .max = 1000000000,
     .automatic = "auto",
     .vllm = "--max-model-len",
     .sglang = "--context-length",
     .trtllm = "--max_seq_len"});
  const auto share = [](std::string_view doc, std::string_view vllm, std::string_view sglang,
                        std::string_view trtllm) {
    return Field{.doc = doc,
                 .min = 0,
                 .max = 1,
                 .above_min = true,
                 .vllm = vllm,
                 .sglang = sglang,
                 .trtllm = trtllm};
  };
  v("gpu_memory_utilization", p.gpu_memory_utilization,
    share("vLLM: share of the total memory the engine may use", "--gpu-memory-utilization", "",
          ""));
  v("mem_fraction_static", p.mem_fraction_static,
    share("SGLang: share of the total memory for weights and KV pool", "", "--mem-fraction-static",
          ""));
  v("kv_cache_free_gpu_memory_fraction", p.kv_cache_free_gpu_memory_fraction,
    share("TensorRT-LLM: share of the memory left after the weights for the KV pool", "", "",
          "--kv_cache_free_gpu_memory_fraction --free_gpu_memory_fraction"));
  v("cuda_graphs", p.cuda_graphs,
    {.doc = "decode steps replayed as CUDA graphs",
     .vllm = "!--enforce-eager",
     .sglang = "!--disable-cuda-graph"});
  v("fused_elementwise", p.fused_elementwise,
    {.doc = "norm + residual, rotary + cache append, SwiGLU as one kernel each"});
  v("overlap_communication", p.overlap_communication, {.doc = "collectives hide under other work"});
  v("prefill_attention", p.prefill_attention,
    {.doc = "attention variant of prefills; auto: by GPU"});
  v("decode_attention", p.decode_attention,
    {.doc = "attention variant of decode steps; auto: by GPU"});
}

template <class V>
void fields(V& v, Speculative& s) {
  v("method", s.method,
    {.doc = "who proposes the tokens", .required = true, .sglang = "--speculative-algorithm"});
  v("num_speculative_tokens", s.num_speculative_tokens,
    {.doc = "tokens proposed per step", .min = 1, .max = 64, .sglang = "--speculative-num-steps"});
  v("acceptance", s.acceptance,
    {.doc = "probability that a proposed token is kept", .min = 0, .max = 1});
  v("draft_model", s.draft_model,
    {.doc = "network that drafts: an id or a path",
     .sglang = "--speculative-draft-model-path --speculative-draft-model"});
  v("draft_cost", s.draft_cost,
    {.doc = "one draft token over one target step", .min = 0, .max = 1});
  v("layers_share", s.layers_share,
    {.doc = "self_speculative: share of the layers that draft",
     .min = 0,
     .max = 1,
     .above_min = true});
  v("max_batch", s.max_batch,
    {.doc = "no speculation above this batch; 0: always", .min = 0, .max = 1000000});
}

template <class V>
void fields(V& v, Disaggregation& d) {
  v("prefill_gpus", d.prefill_gpus,
    {.doc = "GPUs that prefill", .min = 1, .max = 100000, .required = true});
  v("decode_gpus", d.decode_gpus,
    {.doc = "GPUs that decode", .min = 1, .max = 100000, .required = true});
  v("prefill_tensor_parallel_size", d.prefill_tensor_parallel_size,
    {.doc = "else serving.tensor_parallel_size", .min = 1, .max = 4096});
  v("decode_tensor_parallel_size", d.decode_tensor_parallel_size,
    {.doc = "else serving.tensor_parallel_size", .min = 1, .max = 4096});
  v("prefill_hardware", d.prefill_hardware, {.doc = "hardware of the prefill GPUs, if another"});
  v("link", d.link, {.doc = "what the K/V travels over"});
}

template <class V>
void fields(V& v, Scheduler& s) {
  v("policy", s.policy,
    {.doc = "continuous: a slot is refilled at the next step; static: when the batch is done"});
  v("chunked_prefill", s.chunked_prefill,
    {.doc = "prompts cut to the token budget and mixed with decodes",
     .vllm = "--enable-chunked-prefill",
     .trtllm = "--enable_chunked_prefill"});
  v("prefix_caching", s.prefix_caching,
    {.doc = "blocks of equal prefixes are kept and shared",
     .vllm = "--enable-prefix-caching",
     .sglang = "!--disable-radix-cache"});
  v("padded", s.padded, {.doc = "static batches padded to the longest prompt"});
  v("preemption", s.preemption, {.doc = "what happens to a request whose blocks are taken"});
  v("kv_allocation", s.kv_allocation,
    {.doc = "pages, the longest request reserved, or powers of two"});
  v("watermark", s.watermark,
    {.doc = "share of blocks kept free at admission", .min = 0, .max = 1});
  v("swap_gib", s.swap_gib,
    {.doc = "host memory for swapped K/V, GiB per GPU",
     .min = 0,
     .max = 1e6,
     .vllm = "--swap-space"});
}

template <class V>
void fields(V& v, Scenario& s) {
  v("schema", s.schema, {.doc = "kvroof/scenario/v1", .required = true});
  v("extends", s.extends,
    {.doc = "a scenario whose values hold where this one gives none; one level"});
  v("name", s.name, {.doc = "shown in the report; else the file's stem"});
  v("note", s.note, {.doc = "what the scenario is for"});
  v("model", s.model,
    {.doc = "bundled id, Hugging Face repository, config.json or its folder",
     .vllm = "--model",
     .sglang = "--model-path --model",
     .trtllm = "--model"});
  v("hardware", s.hardware, {.doc = "id or path of a hardware profile", .required = true});
  v("num_gpus", s.num_gpus,
    {.doc = "GPUs there are; 0: as many as the parallelism needs", .min = 0, .max = 1000000});
  v("engine", s.engine, {.doc = "whose defaults and memory rule: vllm, sglang or trtllm"});
  v("serving", s.policy, {.doc = "how the network is served"});
  v("workload", s.workload, {.doc = "what is asked of it"});
  v("slo", s.slo, {.doc = "the objective: a preset or limits"});
  v("cost", s.cost, {.doc = "prices"});
  v("kernel", s.kernel, {.doc = "one attention call instead of a network"});
  v("kernels", s.kernels, {.doc = "several attention calls"});
  v("speculative", s.speculative, {.doc = "speculative decoding"});
  v("disaggregation", s.disaggregation, {.doc = "prefill and decode on GPUs of their own"});
  v("scheduler", s.scheduler, {.doc = "batching, preemption, KV allocation"});
  v("sweep", s.sweep, {.doc = "a grid: key path to a list of values or {pow2: [1, 512]}"});
}

}  // namespace kvroof
