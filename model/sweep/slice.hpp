// Which part of a sweep this process evaluates.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace kvroof::sweep {

/// Shard i of n, counted from 1, takes points [N·(i−1)/n, N·i/n).
struct Slice {
  std::int64_t index = 1, count = 1;
  std::int64_t begin(std::int64_t points) const { return at(index - 1, points); }
  std::int64_t end(std::int64_t points) const { return at(index, points); }
  bool operator==(const Slice&) const = default;

 private:
  std::int64_t at(std::int64_t i, std::int64_t points) const;
};

/// Reads a variable of the environment; nullptr when it is not set.
using Environment = std::function<const char*(const char*)>;

/// "i/n", or "auto": from the environment of
///   a Slurm array             SLURM_ARRAY_TASK_ID, _MIN, _STEP and _COUNT
///   a Kubernetes indexed Job  JOB_COMPLETION_INDEX, and the completions in KVROOF_SHARDS
///   Open MPI                  OMPI_COMM_WORLD_RANK and _SIZE
///   GNU parallel              PARALLEL_SEQ, and the number of jobs in KVROOF_SHARDS
/// Kubernetes and GNU parallel do not tell a job how many there are. Outside all of them: 1/1.
Slice parse_slice(const std::string& text, const Environment& get);

}  // namespace kvroof::sweep
