#!/bin/sh
# A sweep that is killed goes on where it was, and shards merge to the bytes of a single run.
# usage: resume_test.sh KVROOF SOURCE_DIR
kvroof=$1
cd "$2" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
how=
# 12 deployments x 61 x 40 x 170 workloads = 5 M points: seconds of work to be killed in.
sweep() {
  $how "$kvroof" sweep scenarios/llama31-8b-chat.yaml --quiet --checkpoint 0.05 \
    --sweep serving.kv_cache_dtype=bf16,fp8 --sweep serving.block_size=16,32 --sweep workload.output_len=10..2410+40 \
    --sweep workload.max_concurrency=1..40 --sweep workload.input_len=64..8192+48 "$@"
}
sweep -o "$work/whole" >"$work/whole.txt" || fail "the whole sweep"

# kill -9 three times, each as soon as the state has moved.
state=$work/killed/shard-00001-of-00001.json
kills=0
for _ in 1 2 3; do
  before=$(cksum "$state" 2>/dev/null)
  how=exec  # so that the process killed is kvroof and no shell around it
  sweep -o "$work/killed" >/dev/null 2>&1 &
  pid=$!
  how=
  for _ in $(seq 200); do
    [ "$(cksum "$state" 2>/dev/null)" != "$before" ] && break
    sleep 0.02
  done
  kill -9 $pid 2>/dev/null && kills=$((kills + 1))
  wait $pid 2>/dev/null
done
[ "$kills" -ge 2 ] || fail "the sweep was over before it could be killed"
sweep -o "$work/killed" >"$work/killed.txt" || fail "the resumed sweep"

# Shards of unlike threads, one of them through the environment of a batch system.
sweep -o "$work/shards" --shard 1/3 --threads 1 >/dev/null || fail "shard 1"
SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=6 SLURM_ARRAY_TASK_COUNT=3 \
  "$kvroof" merge "$work/shards" >/dev/null 2>&1 && fail "merged without shards 2 and 3"
SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=6 SLURM_ARRAY_TASK_COUNT=3
export SLURM_ARRAY_TASK_ID SLURM_ARRAY_TASK_MIN SLURM_ARRAY_TASK_COUNT
sweep -o "$work/shards" --shard auto --threads 3 >/dev/null || fail "shard 2"
sweep -o "$work/shards" --shard 3/3 >/dev/null || fail "shard 3"
"$kvroof" merge "$work/shards" >"$work/shards.txt" || fail "merge"

for file in pareto.csv top.csv marginals.csv histograms.csv ranges.csv manifest.json; do
  cmp "$work/whole/$file" "$work/killed/$file" || fail "$file after kill -9 and resume"
  cmp "$work/whole/$file" "$work/shards/$file" || fail "$file of merged shards"
done
cmp "$work/whole/shard-00001-of-00001.json" "$state" || fail "the state itself"

# Another sweep must not go on from this one's state.
sweep -o "$work/killed" --top 5 >"$work/other.txt" 2>&1
[ $? -eq 2 ] || fail "another sweep went on from a foreign state"
grep -q 'belongs to another sweep' "$work/other.txt" || fail "no reason: $(cat "$work/other.txt")"
head -c 1000 "$state" >"$work/cut.json" && mkdir "$work/cut" && mv "$work/cut.json" "$work/cut/shard-00001-of-00001.json"
sweep -o "$work/cut" >/dev/null 2>&1
[ $? -eq 2 ] || fail "a truncated state was accepted"
echo "killed $kills times, $(wc -c <"$state") bytes of state, all files equal"
