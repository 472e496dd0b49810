#include "model/sweep/slice.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "model/user_error.hpp"

namespace kvroof::sweep {
namespace {

constexpr std::int64_t kMostShards = 1'000'000;

std::optional<std::int64_t> whole(std::string_view s) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (error != std::errc{} || end != s.data() + s.size()) return std::nullopt;
  return n;
}

std::int64_t variable(const Environment& get, const char* name) {
  const char* text = get(name);
  if (!text)
    throw UserError(
        fmt::format("--shard auto: expected {} in the environment, it is not set", name));
  const std::optional<std::int64_t> n = whole(text);
  if (!n)
    throw UserError(
        fmt::format("--shard auto: {}: expected a whole number, got \"{}\"", name, text));
  return *n;
}

Slice checked(Slice s, const std::string& text) {
  if (s.count < 1 || s.count > kMostShards || s.index < 1 || s.index > s.count)
    throw UserError(
        fmt::format("--shard {}: expected 1/n to n/n, got {}/{}", text, s.index, s.count));
  return s;
}

}  // namespace

std::int64_t Slice::at(std::int64_t i, std::int64_t points) const {
  return points / count * i + points % count * i / count;  // no overflow: both factors are small
}

Slice parse_slice(const std::string& text, const Environment& get) {
  if (text != "auto") {
    const std::size_t slash = text.find('/');
    const auto i = whole(std::string_view(text).substr(0, slash));
    const auto n =
        slash == std::string::npos ? std::nullopt : whole(std::string_view(text).substr(slash + 1));
    if (!i || !n) throw UserError("--shard: expected i/n or auto, got \"" + text + "\"");
    return checked({*i, *n}, text);
  }
  if (get("SLURM_ARRAY_TASK_ID")) {
    const std::int64_t step =
        get("SLURM_ARRAY_TASK_STEP") ? variable(get, "SLURM_ARRAY_TASK_STEP") : 1;
    const std::int64_t least = variable(get, "SLURM_ARRAY_TASK_MIN");
    const std::int64_t past = variable(get, "SLURM_ARRAY_TASK_ID") - least;
    if (step < 1 || past % step != 0)
      throw UserError("--shard auto: SLURM_ARRAY_TASK_ID is not a step of the array");
    return checked({past / step + 1, variable(get, "SLURM_ARRAY_TASK_COUNT")}, text);
  }
  if (get("JOB_COMPLETION_INDEX"))
    return checked({variable(get, "JOB_COMPLETION_INDEX") + 1, variable(get, "KVROOF_SHARDS")},
                   text);
  if (get("OMPI_COMM_WORLD_RANK"))
    return checked(
        {variable(get, "OMPI_COMM_WORLD_RANK") + 1, variable(get, "OMPI_COMM_WORLD_SIZE")}, text);
  if (get("PARALLEL_SEQ"))
    return checked({variable(get, "PARALLEL_SEQ"), variable(get, "KVROOF_SHARDS")}, text);
  return {};
}

}  // namespace kvroof::sweep
