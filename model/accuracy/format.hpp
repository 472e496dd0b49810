// The file formats that `kvroof accuracy` knows: one reader file each, listed in formats.cpp.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "model/accuracy/context.hpp"
#include "model/accuracy/measurement.hpp"
#include "model/csv.hpp"

namespace kvroof::accuracy {

/// matches  decides by header (and file name where headers are shared); the first match reads
/// read     every row of the file becomes one or more measurements or a refusal; none is dropped
/// predict  one answer per measurement, in order; sees a whole file, since rows may share a run
struct FileFormat {
  std::string_view name;
  bool (*matches)(const Csv&);
  std::vector<Read> (*read)(const Csv&);
  std::vector<Answer> (*predict)(Context&, std::span<const Measurement>);
  /// Engines of 2025 and 2026: the constants fitted on their rows apply.
  bool recent = false;
};

std::span<const FileFormat> formats();
const FileFormat* find_format(const Csv& csv);  // nullptr: none

FileFormat silicon_format();  // inference_engines_silicon.csv: TTFT and TPOT of whole engines

}  // namespace kvroof::accuracy
