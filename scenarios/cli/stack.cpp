#include "scenarios/cli/stack.hpp"

#include <algorithm>
#include <fstream>
#include <iostream>

#include "model/user_error.hpp"
#include "reports/convert.hpp"

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

int write_figures(const std::vector<reports::Figure>& figures, const std::string& file) {
  if (file.ends_with(".html")) {
    std::ofstream out(file);
    if (!out) throw UserError(file + ": expected a file that can be written");
    reports::Report r{.title = figures.front().wide.caption.title};
    r.sections = {{"", {}, figures, {}}};
    out << reports::html(r);
    return 0;
  }
  std::vector<reports::Scene> scenes;
  for (const reports::Figure& f : figures) scenes.push_back(f.wide);
  const reports::Saved saved = reports::save_figure(stacked(scenes), file);
  if (saved.exit_code != 0) std::cerr << saved.message << '\n';
  return saved.exit_code;
}

}  // namespace kvroof::cli
