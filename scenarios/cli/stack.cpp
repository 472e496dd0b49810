#include "scenarios/cli/stack.hpp"

#include <algorithm>

namespace kvroof::cli {

reports::Scene stacked(std::span<const reports::Scene> scenes) {
  reports::Scene all = scenes.front();
  for (const reports::Scene& s : scenes.subspan(1)) {
    const int first_tip = static_cast<int>(all.tips.size());
    for (reports::Panel p : s.panels) {
      p.box.y += all.height;
      for (reports::Mark& m : p.marks)
        if (m.tags.tip >= 0) m.tags.tip += first_tip;
      all.panels.push_back(std::move(p));
    }
    all.tips.insert(all.tips.end(), s.tips.begin(), s.tips.end());
    all.height += s.height;
    all.width = std::max(all.width, s.width);
  }
  return all;
}

}  // namespace kvroof::cli
