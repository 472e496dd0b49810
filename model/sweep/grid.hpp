// The index space of a sweep: a mixed-radix number, never a list of points.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/scenario.hpp"

namespace kvroof::sweep {

/// Which member of Points an axis varies. Any other key makes another deployment.
enum class Slot { deployment, batch, prompt, output, context, prefix_hit };
Slot slot_of(std::string_view key_path);

struct GridAxis {
  std::string path;
  std::vector<std::string> values;  // as YAML text
  Slot slot = Slot::deployment;
  std::vector<double> numbers;  // workload axes: one for each value
};

/// Axes of deployments in their order first, then those of workloads, the longest of them last: it
/// is the row that is evaluated kLanes points at a time.
/// Point = digits, the first axis the highest.
struct Grid {
  std::vector<GridAxis> axes;
  std::size_t num_outer = 0;  // axes of deployments

  std::int64_t points() const;
  std::int64_t deployments() const;
  std::int64_t row() const;  // points of the innermost axis; 1 when no axis is of workloads
  std::vector<std::int64_t> digits(std::int64_t point) const;
};

/// `vary_workloads` false: every axis makes deployments (an open loop, whose batch follows from the
/// prediction itself). UserError for more than 10^15 points.
Grid make_grid(const std::vector<Axis>& axes, bool vary_workloads);

/// "serving.block_size=16,32", "workload.max_concurrency=1..256x2"
/// or "workload.input_len=128..4096+128".
Axis parse_axis(const std::string& text);

/// A value as YAML that reads back to the same.
std::string value_text(const Node& value);

}  // namespace kvroof::sweep
