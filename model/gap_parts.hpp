// The parts of a Gap under the names that every table, figure and sentence gives them.
#pragma once
#include <array>
#include <string_view>

#include "model/time.hpp"

namespace kvroof {

struct GapPart {
  std::string_view words;
  std::string_view why;
  Seconds time;
};

/// In the order in which one ideal after the other is given up; they add up to gap.total().
constexpr std::array<GapPart, 8> gap_parts(const Gap& g) {
  return {{{"achieved HBM rate", "bytes at the rate real kernels reach, not the datasheet's",
            g.bandwidth},
           {"achieved compute rate", "tensor work at the rate real kernels reach", g.compute},
           {"extra traffic", "re-reads and activations that leave the chip", g.traffic},
           {"tiles and waves", "tile padding, masked tiles, part-filled waves", g.padding},
           {"exp, FP32, L2", "work of other pipes that does not hide under tensor work", g.pipes},
           {"kernel ramps", "fill and drain of each kernel", g.ramp},
           {"launch gaps", "time between kernels", g.launch},
           {"communication", "collectives that are not hidden", g.link}}};
}

}  // namespace kvroof
