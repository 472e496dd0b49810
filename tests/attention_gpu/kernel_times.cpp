// Times catalogue entries, one CSV row each: many launches per pair of events, submitted as a
// graph; the median of the samples.
//   kvroof_kernel_times NAME...   the default shapes of these entries
//   kvroof_kernel_times -         asks for "NAME key=value ..." line by line on standard input, so
//                                 that another program can take turns with it
//                                 (compare_with_sdpa.py)
#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>

#include "kernels/bench.hpp"
#include "kernels/device.hpp"

using namespace kvroof;
using namespace kvroof::kernels;

namespace {

void print_row(const std::string& kernel, const Case& c, const Timing& timing) {
  const Stats s = time_case(c, timing);
  const Work& w = c.op.work;
  const Bytes hbm = w.hbm() - c.op.handed_over;
  std::printf("%s,%s,%.2f,%.2f,%.2f,%.1f,%.0f\n", kernel.c_str(), c.name.c_str(), s.median * 1e6,
              s.p5 * 1e6, s.p95 * 1e6, w.flops.value / s.median / 1e12, hbm.value / s.median / 1e9);
}

int default_shapes(const char* name) {
  const Entry* entry = find_entry(name);
  if (entry == nullptr) {
    std::fprintf(stderr, "no kernel named %s\n", name);
    return 2;
  }
  for (const Args& args : entry->shapes) {
    try {
      print_row(name, entry->make(args), {.repeats = 7, .sample_seconds = 20e-3});
    } catch (const std::exception& e) {
      std::printf("%s,failed: %s\n", name, e.what());
    }
    std::fflush(stdout);
  }
  return 0;
}

/// Answers each line with one row; the last case is kept, since the same line comes again.
void answer_lines() {
  std::string line, last;
  Case c;
  while (std::getline(std::cin, line)) {
    try {
      std::istringstream words(line);
      std::string name, word;
      words >> name;
      if (line != last) {
        Args args;
        while (words >> word) {
          const auto equals = word.find('=');
          args[word.substr(0, equals)] = std::stod(word.substr(equals + 1));
        }
        const Entry* entry = find_entry(name);
        if (entry == nullptr) throw std::invalid_argument("no kernel named " + name);
        c = {};  // its memory goes before the next case's comes
        c = entry->make(args);
        last = line;
      }
      print_row(name, c, {.warmup = 2, .repeats = 3, .sample_seconds = 15e-3});
    } catch (const std::exception& e) {
      std::printf("failed: %s\n", e.what());
      last.clear();
    }
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (!has_gpu()) {
    std::fprintf(stderr, "no GPU: nothing to time\n");
    return 77;
  }
  if (argc == 2 && std::string(argv[1]) == "-") {
    answer_lines();
    return 0;
  }
  std::printf("kernel,case,us,p5_us,p95_us,tflop_s,gb_s\n");
  for (int i = 1; i < argc; ++i)
    if (const int failed = default_shapes(argv[i])) return failed;
}
