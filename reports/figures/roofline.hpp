// The roofline: attained FLOP/s over FLOP per HBM byte, log-log, for one step on one or more GPUs.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "model/units.hpp"
#include "reports/figures/details.hpp"

namespace kvroof::reports {

struct Roofline {
  /// A slope. The first level of a GPU is HBM and always drawn; others only if `shown`, or as a
  /// hidden layer that a report can switch on.
  struct Level {
    std::string id;                 // "hbm", "l2", "smem": the toggle
    std::string name;               // "HBM3e"
    Bandwidth datasheet, measured;  // measured 0: unknown, a line instead of a band
    bool shown = true;
    std::string how = "measured";  // what `measured` is: fitted, assumed
  };
  /// A flat roof. The first is the one the step's math type uses: its ridge is marked.
  struct Peak {
    std::string id, name;  // "bf16", "BF16 tensor"
    Throughput datasheet, measured;
    bool shown = true;
    std::string how = "measured";
  };
  struct Gpu {
    std::string name;
    std::vector<Level> levels;
    std::vector<Peak> peaks;
  };
  struct Point {
    std::string name;  // the same name on several GPUs gets the same number
    std::string kind;  // "linear", "attention", "elementwise": colour and shape on one GPU
    int gpu = 0;
    Intensity intensity;  // FLOP per HBM byte; 0: moves data only, named in the key alone
    Throughput predicted, measured;  // per GPU; 0: absent
    double p5 = 0, p95 = 0;          // measured / predicted time, spread; 0: unknown
    double share = 0;                // of the step
    std::vector<std::pair<std::string, Intensity>> at_level;  // FLOP per L2 byte, …, by level id
    Details details;
  };
  /// What batching does: one dot a batch size.
  struct Trajectory {
    struct At {
      int batch = 1;
      Intensity intensity;
      Throughput attained;
    };
    std::string name;
    int gpu = 0;
    std::vector<At> at;
  };
  Caption caption;
  std::vector<Gpu> gpus;
  std::vector<Point> points;
  std::vector<Trajectory> trajectories;
};

Scene scene(const Roofline& f, Canvas canvas = {});
DataTable data_table(const Roofline& f);

/// FLOP per byte at which the first level and the first peak meet, from measured roofs if known.
Intensity ridge(const Roofline::Gpu& g);
/// Number of each point in the key: 1, 2, … by first appearance of its name.
std::vector<int> point_numbers(const Roofline& f);

}  // namespace kvroof::reports
