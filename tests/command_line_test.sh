#!/bin/sh
# The planner as a user meets it. usage: command_line_test.sh KVROOF SOURCE_DIR
kvroof=$1
cd "$2" || exit 1
failed=0
# expect EXIT_CODE "what the output must contain" arguments…
expect() {
  code=$1 words=$2
  shift 2
  output=$("$kvroof" "$@" 2>&1)
  got=$?
  if [ "$got" -ne "$code" ] || ! printf '%s' "$output" | grep -qF -- "$words"; then
    printf 'FAILED: kvroof %s\n  expected exit %s and "%s"\n  got exit %s:\n%s\n' "$*" "$code" "$words" "$got" "$output"
    failed=1
  fi
}
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

# What kvroof init prints must run.
"$kvroof" init >"${TMPDIR:-/tmp}/kvroof-init-$$.yaml"
expect 0 'FITS' run "${TMPDIR:-/tmp}/kvroof-init-$$.yaml"
rm -f "${TMPDIR:-/tmp}/kvroof-init-$$.yaml"
exit $failed
