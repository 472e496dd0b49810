// A plan: one group on one chip, checked and scheduled by the CUPTI Host API. Needs neither GPU nor
// driver, so tests make plans for chips that are not there.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cupti_probe/groups.hpp"
#include "cupti_probe/library.hpp"

namespace kvroof::probe {

class Plan {
 public:
  /// Screens every name (a bad name poisons the host object), adds all metrics in one call (two
  /// calls never share a pass) and reads the pass count.
  ///   availability   the device's counter availability image; empty: the chip's full set
  /// Throws UserError for a name the chip lacks, with its place in the group file.
  static Plan make(ChipGroup group, std::span<const std::uint8_t> availability = {});

  const ChipGroup& group() const { return group_; }
  std::size_t passes() const { return passes_; }
  std::span<const std::uint8_t> config_image() const { return config_; }
  /// Metric names as CUPTI takes them; they live as long as the plan.
  std::vector<const char*> names() const;
  /// Metric values of one range of a decoded counter data image, in the order of group().metrics.
  std::vector<double> read(std::span<const std::uint8_t> counter_data, std::size_t range) const;

 private:
  struct Deinitialize {
    void operator()(CUpti_Profiler_Host_Object* host) const;
  };
  ChipGroup group_;
  std::vector<std::uint8_t> availability_;  // outlives the host object
  std::unique_ptr<CUpti_Profiler_Host_Object, Deinitialize> host_;
  std::vector<std::uint8_t> config_;
  std::size_t passes_ = 0;
};

}  // namespace kvroof::probe
