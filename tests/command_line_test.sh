#!/bin/sh
# The planner as a user meets it. usage: command_line_test.sh KVROOF SOURCE_DIR
program=$1
cd "$2" || exit 1
. tests/expect.sh
node="--model llama-3.1-70b --hardware h100-sxm-80gb --tensor-parallel-size 8"

expect 0 'kvroof run' # alone: examples
expect 0 'FITS' run scenarios/llama31-70b-8xh100.yaml
# shellcheck disable=SC2086
{
  expect 0 '"bytes_per_token": 327680.0' run $node --batch 16 --context 4096 --format json
  expect 1 'the KV cache needs 131072 blocks' run $node --batch 64 --context 32768
  expect 1 'kv_cache_dtype fp8' run $node --batch 64 --context 32768
  expect 1 '"fits": false' run $node --batch 64 --context 32768 --format json
  expect 2 'not divisible' run $node --batch 1 --context 1024 --set serving.tensor_parallel_size=3
  expect 0 'decode.floor_s' run $node --batch 16 --context 4096 --format csv
  expect 0 '| decode | attention |' run $node --batch 16 --context 4096 --format md
  expect 0 'layers · h_kv' explain $node --batch 16 --context 4096 scenarios/llama31-70b-8xh100.yaml kv
}
expect 0 'speed of light' explain scenarios/llama31-70b-8xh100.yaml tpot --op attention
expect 0 'sensitivity' explain scenarios/llama31-70b-8xh100.yaml tpot
expect 0 '"params": 70553706496' models llama-3.1-70b --format json
expect 0 'h200-sxm-141gb' profiles
expect 0 'source:' profiles show h200-sxm-141gb
expect 0 'draft-07' schema scenario
expect 0 'complete -' completion bash
expect 0 'schema: kvroof/scenario/v1' init
expect 0 'wrong by' claims
expect 0 'TP4' run --engine-args 'vllm serve meta-llama/Llama-3.1-8B -tp 4' --hardware h100-sxm-80gb --input-len 128 --output-len 128
expect 2 "did you mean 'run'" rum scenarios/llama31-70b-8xh100.yaml
expect 2 "did you mean '--model'" run --modle llama-3.1-8b
expect 2 "did you mean" run --model llama-3.1-8b --hardware h100-sxm-80g --batch 1 --context 10
expect 2 'expected a scenario file' run
expect 2 'expected batch and context together' run --model llama-3.1-8b --hardware h100-sxm-80gb --batch 4
expect 2 'expected a readable file' lint no-such-file.csv

printf 'device,gemm_dtype,m,n,k,latency\nNVIDIA H200,bfloat16,8192,8192,8192,0.5\n' >"${TMPDIR:-/tmp}/kvroof-lint-$$.csv"
expect 1 'faster than light' lint "${TMPDIR:-/tmp}/kvroof-lint-$$.csv"
rm -f "${TMPDIR:-/tmp}/kvroof-lint-$$.csv"

# Sweep, merge, plan, compare.
tmp=${TMPDIR:-/tmp}/kvroof-cli-$$
chat=scenarios/llama31-8b-chat.yaml
expect 0 '21 points in 3 deployments' sweep $chat
expect 0 '"miss_slo": 0' sweep $chat --format json
expect 0 'tok_s_per_user' sweep $chat --format csv
expect 1 '0 kept' sweep $chat --set slo.tpot_ms.p99=0.001
expect 0 '4 do not fit' sweep scenarios/llama31-70b-8xh100.yaml --sweep serving.tensor_parallel_size=1,8 --sweep workload.max_concurrency=1..8x2
expect 0 '1 cannot be cut so' sweep scenarios/llama31-70b-8xh100.yaml --sweep serving.tensor_parallel_size=3,8
expect 2 'expected a sweep block' sweep scenarios/llama31-70b-8xh100.yaml
expect 2 "did you mean 'max_concurrency'" sweep $chat --sweep workload.max_concurency=1,2
expect 2 'expected an integer from 1' sweep $chat --sweep workload.max_concurrency=0,1
expect 2 "did you mean 'ttft_s'" sweep $chat --by tft_s
expect 2 'expected -o FOLDER' sweep $chat --shard 1/2
expect 2 'expected 1/n to n/n' sweep $chat --shard 3/2 -o "$tmp"
expect 2 'a kernel scenario' sweep scenarios/attention/flash_v2.yaml --sweep kernel.b=1,2
expect 0 'puts the shards together' sweep $chat --shard 1/2 -o "$tmp"
expect 2 'are missing' merge "$tmp"
expect 0 'points 10 to 21 done' sweep $chat --shard 2/2 -o "$tmp"
expect 0 'pareto.csv' merge "$tmp"
expect 2 'expected shard-*.json' merge model
# An open loop: the batch follows from the rate, so the scalar prediction answers each point.
expect 0 '3 points in 3 deployments' sweep scenarios/plan-8b-chat.yaml --sweep hardware=h100-sxm-80gb --sweep workload.request_rate=1,2,4
expect 0 'cheapest' plan scenarios/plan-8b-chat.yaml --gpus h100-sxm-80gb --tp 1 --aggregated-only
expect 0 '"sensitivity"' plan scenarios/plan-8b-chat.yaml --gpus h100-sxm-80gb --tp 1 --aggregated-only --format json
expect 1 'to change: TPOT p99 to' plan scenarios/plan-8b-chat.yaml --gpus h100-sxm-80gb --tp 1 --aggregated-only --set slo.tpot_ms.p99=1
expect 1 'below the speed of light' plan scenarios/plan-8b-chat.yaml --gpus h100-sxm-80gb --tp 1 --aggregated-only --set slo.tpot_ms.p99=0.1
expect 2 'expected the requests per second' plan $chat
expect 2 'expected limits to plan for' plan $chat --request-rate 5 --set slo={}
expect 2 'expected gpu=dollars' plan scenarios/plan-8b-chat.yaml --price h100-sxm-80gb=-1
expect 2 'is not among the GPUs' plan scenarios/plan-8b-chat.yaml --gpus h100-sxm-80gb --price h200-sxm-141gb=3
expect 0 'datasheet rate' compare scenarios/llama31-70b-8xh100.yaml --with hardware=h200-sxm-141gb
expect 0 '"mostly"' compare scenarios/llama31-70b-8xh100.yaml scenarios/llama31-70b-8xh100-32k.yaml --format json
expect 2 'expected a second scenario' compare $chat
printf '{"mean_ttft_ms": 100, "completed": 0}' >"$tmp.json"
expect 2 'at least one completed request' compare $chat "$tmp.json"
printf '{"model_id": "meta-llama/Llama-3.1-8B", "completed": 64, "max_concurrency": 8, "total_input_tokens": 65536, "total_output_tokens": 16384, "output_throughput": 10, "mean_ttft_ms": 1, "mean_tpot_ms": 0.1}' >"$tmp.json"
expect 1 'are not all within 20 %' compare $chat "$tmp.json"
expect 1 '"inside_range": false' compare $chat "$tmp.json" --format json

# The simulator: gaps between tokens, buddies, unlike pools; traffic that is none.
rate="--request-rate 4 --set workload.max_concurrency=null --set workload.num_requests=200"
# shellcheck disable=SC2086
{
  expect 0 'ITL' simulate $chat $rate
  expect 0 '"itl_s"' simulate $chat $rate --format json
  expect 0 'requests' simulate $chat $rate --set scheduler.kv_allocation=buddy
  expect 0 '1 x h200-sxm-141gb prefill + 1 x h100-sxm-80gb decode' simulate $chat $rate --set 'disaggregation={prefill_gpus: 1, decode_gpus: 1, prefill_hardware: h200-sxm-141gb}'
  printf 'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,48,' >"$tmp.csv"
  expect 2 'GeneratedTokens: expected a whole number' simulate $chat $rate --set "workload.input_len={trace: $tmp.csv}" --set "workload.output_len={trace: $tmp.csv}"
  expect 2 'expected a number from 1' simulate $chat $rate --set workload.input_len=nan
  expect 2 'workload.burstiness: expected a number > 0' simulate $chat $rate --burstiness 0
}
expect 2 'workload.request_rate: expected' simulate $chat --request-rate 0 --set workload.max_concurrency=null
rm -rf "$tmp" "$tmp.json" "$tmp.csv"

# Shipped policies that need a choice of the simulator's own: the draft's price, prompts of their own length.
expect 0 'a token of llama-3.1-8b takes' simulate scenarios/policies/speculative-draft-model.yaml
expect 0 'requests/s done' simulate scenarios/policies/ragged-batching.yaml
expect 2 'neither a known id' run --dry-run --model nonsense --hardware h100-sxm-80gb --batch 1 --context 10
expect 2 'expected an axis of this sweep' sweep $chat --sweep workload.max_concurrency=1,2 --per workload.batch
# What kvroof init prints must run.
"$program" init >"${TMPDIR:-/tmp}/kvroof-init-$$.yaml"
expect 0 'FITS' run "${TMPDIR:-/tmp}/kvroof-init-$$.yaml"
rm -f "${TMPDIR:-/tmp}/kvroof-init-$$.yaml"
exit $failed
