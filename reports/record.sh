#!/usr/bin/env bash
# Validation, tests, whole steps, ladder, ceilings, comparisons with PyTorch, seeds and sanitizers of
# one GPU, recorded into one folder.
#
#   reports/record.sh PROFILE_ID [OUT]     e.g. reports/record.sh h200-sxm-141gb
#
# OUT (default reports/PROFILE_ID/new) receives one CSV a question and a log beside it. A part that
# fails or takes too long is named at the end and leaves the others alone (exit 1); without a GPU
# nothing is recorded (exit 77). Programs come from KVROOF_BIN (default build/cuda/bin). Comparisons
# with PyTorch need python3 with torch.
set -u
cd "$(dirname "$0")/.." || exit
id=${1:?"usage: reports/record.sh PROFILE_ID [OUT]"}
out=${2:-reports/$id/new}
bin=${KVROOF_BIN:-build/cuda/bin}
mkdir -p "$out"
failed=()

# part NAME SECONDS COMMAND...: standard output and errors to NAME.log
part() {
  local name=$1 seconds=$2
  shift 2
  printf '%s %-28s ' "$(date +%T)" "$name"
  if timeout "$seconds" "$@" >"$out/$name.log" 2>&1; then echo ok
  else
    local code=$?
    if ((code == 77)); then  # no GPU, or none that this part asks for
      [[ $name == validate ]] && cat "$out/$name.log" && exit 77
      echo skipped
      return
    fi
    echo "exit $code, see $out/$name.log"
    failed+=("$name")
  fi
}

probe() { part "$1" "$2" "$bin/kvroof-probe" "${@:3}" --csv "$out/$1.csv"; }
beside_sdpa() { part "${1}_sdpa" 150 tests/compare_with_sdpa.py "$1" --times "$bin/kvroof_kernel_times" --csv "$out/${1}_sdpa.csv"; }

probe validate 240 validate --part kernels --hardware "$id"
for test in attention_gpu_test hopper_test probe_gpu_tests ceilings_test; do part "$test" 120 "$bin/kvroof_$test"; done
probe step_decode_1b 60 step llama-3.2-1b --batch 1 --context 1024 --hardware "$id"
probe step_decode_8b 60 step llama-3.1-8b --batch 32 --context 8192 --hardware "$id"
probe step_decode_32b 60 step qwen3-32b --batch 8 --context 16384 --hardware "$id"
probe step_prefill_8b 60 step llama-3.1-8b --prefill --context 8192 --hardware "$id"
probe step_prefill_32b 60 step qwen3-32b --prefill --context 4096 --hardware "$id"
probe ladder 60 ladder --hardware "$id" --report "$out/ladder.svg"
probe ceilings 120 ceilings
for what in flash_v2 flash_v3 flash_backward decode; do beside_sdpa "$what"; done
part paged 150 tests/compare_with_sdpa.py paged --times "$bin/kvroof_kernel_times" --csv "$out/paged.csv"
probe power 120 power --hardware "$id"
probe seeds 90 seeds
for tool in memcheck racecheck; do
  without=()
  # racecheck reports cuBLAS's own products, of which whole steps have many; their other kernels have
  # tests of their own.
  [[ $tool == racecheck ]] && without=(-tce="*_step")
  part "$tool" 120 env KVROOF_SHAPES=2 compute-sanitizer --error-exitcode 1 --tool "$tool" \
    "$bin/kvroof_attention_gpu_test" "${without[@]}"
done

if ((${#failed[@]})); then
  echo "not recorded as they should be: ${failed[*]}"
  exit 1
fi
