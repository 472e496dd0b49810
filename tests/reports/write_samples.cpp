// write_samples DIR [REPORT.html]: every layout sample, wide and narrow, as SVG, and all on one
// page. Regenerates the golden files:
//   build/cpu/bin/write_samples tests/reports/golden
#include <filesystem>
#include <fstream>
#include <iostream>

#include "reports/svg.hpp"
#include "tests/reports/samples.hpp"

int main(int argc, char** argv) {
  using namespace kvroof::reports;
  if (argc != 2 && argc != 3) {
    std::cerr << "usage: write_samples DIR [REPORT.html]\n";
    return 2;
  }
  const std::filesystem::path dir = argv[1];
  for (const auto& [name, s] : samples::all_scenes())
    std::ofstream(dir / (name + ".svg")) << svg(s);
  if (argc == 3) std::ofstream(argv[2]) << html(samples::report());
}
