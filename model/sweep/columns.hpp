// What a sweep knows of a point: names, whether more is better, and a block of points at once.
#pragma once
#include <Eigen/Core>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kvroof::sweep {

inline constexpr int kLanes = 64;
/// The same quantity of kLanes points; fixed in size, so that no operation allocates.
using Lanes = Eigen::Array<double, kLanes, 1>;

/// Names are those of `kvroof run --format json`, SI base units.
enum class Column {
  ttft,
  tpot,
  e2e,
  decode,
  decode_floor,
  output_rate,
  output_rate_per_gpu,
  rate_per_user,
  request_rate,
  usd,
  kv_share
};
inline constexpr int kNumColumns = 11;
struct ColumnInfo {
  std::string_view name;
  bool more_is_better;
};
inline constexpr std::array<ColumnInfo, kNumColumns> kColumns{{
    {"ttft_s", false},
    {"tpot_s", false},
    {"e2e_s", false},
    {"decode_s", false},
    {"decode_floor_s", false},
    {"output_tok_s", true},
    {"output_tok_s_per_gpu", true},
    {"tok_s_per_user", true},
    {"request_rate", true},
    {"usd_per_million_output_tokens", false},
    {"kv_pool_share", false},
}};
constexpr const ColumnInfo& info(Column c) { return kColumns[static_cast<std::size_t>(c)]; }
constexpr std::optional<Column> find_column(std::string_view name) {
  for (std::size_t i = 0; i < kNumColumns; ++i)
    if (kColumns[i].name == name) return static_cast<Column>(i);
  return std::nullopt;
}

/// kLanes workloads of one deployment; context 0 is the middle of the generation.
struct Points {
  Lanes batch, prompt, output, context, prefix_hit;
};

/// Their answers.
struct Block {
  std::array<Lanes, kNumColumns> column;
  Eigen::Array<bool, kLanes, 1> fits;
  const Lanes& operator[](Column c) const { return column[static_cast<std::size_t>(c)]; }
  Lanes& operator[](Column c) { return column[static_cast<std::size_t>(c)]; }
};

}  // namespace kvroof::sweep
