#!/bin/sh
# The probe as a user meets it, on any machine: what needs no GPU, and what is refused before one is
# asked for. usage: command_line_test.sh KVROOF_PROBE SOURCE_DIR
program=$1
cd "$2" || exit 1
export CUDA_VISIBLE_DEVICES=
. tests/expect.sh
h200='--hardware h200-sxm-141gb'
tmp=${TMPDIR:-/tmp}/kvroof-probe-$$

expect 0 'kvroof-probe validate --hardware' # alone: examples
expect 0 'Usage: kvroof-probe' --help
expect 0 '.' --version
expect 0 'flash_v3' list
expect 0 'roofline' groups
expect 0 'dram__bytes_read.sum' groups hbm

expect 2 "unknown verb 'validat', did you mean 'validate'? (kvroof-probe --help" validat
# shellcheck disable=SC2086
expect 2 "unknown option '--kernel', did you mean '--kernels'? (kvroof-probe validate --help" validate $h200 --kernel x
expect 2 'validate: --hardware ID or --profile FILE is needed' validate
expect 2 'neither a known id nor a file' validate --hardware h200
expect 2 "got 'flashv2', did you mean 'flash_v2'?" profile-kernel flashv2
expect 2 'did you mean one of flash_v1, flash_v2' profile-kernel flash
expect 2 "expected name=number such as s_kv=8192, got 's_kv'" profile-kernel flash_v2 --set s_kv
expect 2 "--group: expected one of clocks, exp" profile-kernel flash_v2 --group hmb
expect 2 'does not know chip TU102' groups hbm --chip TU102
# shellcheck disable=SC2086
expect 2 'llama-3.1-9b' step llama-3.1-9b $h200
# shellcheck disable=SC2086
expect 2 'has latent attention' step deepseek-v3 $h200

# Refused now, not after minutes on the GPU.
# shellcheck disable=SC2086
for verb in "ceilings" "validate $h200" "seeds" "link $h200" "ladder $h200" \
            "step llama-3.1-8b $h200" "profile-kernel flash_v2"; do
  expect 2 "expected a file in an existing folder, got '/no/such/folder/x.csv'" $verb --csv /no/such/folder/x.csv
done
# shellcheck disable=SC2086
expect 2 "--report: expected a file that ends in .svg, .png, .pdf or .html, got 'x.gif'" ladder $h200 --report x.gif
# shellcheck disable=SC2086
expect 2 "--report: expected a file" validate $h200 --csv "$tmp.csv" --report x
expect 2 '--only: expected launch, barrier' ceilings --only hmb
expect 2 'got "naive to flash"' seeds --only 'naive to flash'

# Constants from records.
record=reports/h200-sxm-141gb/validate.csv
# shellcheck disable=SC2086
{
  expect 0 'gqa_decode' calibrate $h200 --csv $record --kernels gqa_decode
  expect 2 ", got 'flash_v9'" calibrate $h200 --csv $record --kernels flash_v9
  expect 2 'expected a record of kvroof-probe validate' calibrate $h200 --csv reports/h200-sxm-141gb/link.csv
  printf 'part,name,args,quantity,measured,note\nkernel,flash_v2,b=1,time,1e-3,\n' >"$tmp.csv"
  expect 2 'no shape with its work and its time' calibrate $h200 --csv "$tmp.csv"
}
rm -f "$tmp.csv"
exit $failed
