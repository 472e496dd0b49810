#include <array>

#include "model/accuracy/format.hpp"
#include "model/accuracy/published.hpp"

namespace kvroof::accuracy {

std::span<const FileFormat> formats() {
  static const std::array all{
      silicon_format(),        operator_format(),  trtllm_static_format(), trtllm_online_format(),
      trtllm_offline_format(), mlperf_format(),    gpustack_format(),      argonne_format(),
      splitwise_format(),      distserve_format(), per_request_format(),   network_format(),
      speculation_format(),    assorted_format()};
  return all;
}

const FileFormat* find_format(const Csv& csv) {
  for (const FileFormat& f : formats())
    if (f.matches(csv)) return &f;
  return nullptr;
}

}  // namespace kvroof::accuracy
