// CSV records: a head of "# key: value" lines, then columns. Fields are quoted where they must be.
#pragma once
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kvroof::probe {

/// One row of text fields as CSV; commas, quotes and line breaks are quoted.
std::string csv_row(const std::vector<std::string>& fields);

/// Throws UserError where the folder of a record does not exist: now, not after the GPU has worked
/// for minutes. Empty: no record.
void check_record_path(const std::string& path);

/// Shortest text that reads back to the same double; empty for nullopt: never a zero.
std::string csv_number(std::optional<double> value);

/// A CSV file, complete or not there. Until close() the rows stand in `<path>.part`, each on disk
/// as soon as it is known, so that a run that is stopped leaves what it measured; a part without a
/// row is removed.
class Record {
 public:
  ///   head   lines above the rows of the part, as far as they are known at the start
  /// Throws UserError where the folder cannot be written.
  Record(std::string path, const std::vector<std::string>& columns,
         const std::vector<std::string>& head = {});
  ~Record();
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  void row(const std::vector<std::string>& fields);
  /// Puts the head above the rows (sensors are known only at the end), renames,
  /// and removes the part.
  void close(const std::vector<std::string>& head);

 private:
  std::string path_;
  std::string rows_;
  bool empty_ = true;
  std::ofstream part_;
};

/// The record of a verb; nullptr without a path.
std::unique_ptr<Record> open_record(const std::string& path,
                                    const std::vector<std::string>& columns,
                                    const std::vector<std::string>& head = {});

/// 3.1994e9, "Hz" -> "3.199 GHz"; bytes decimal; plain units (1, op, flop) get k M G T P as well.
std::string with_prefix(double value, std::string_view unit);

}  // namespace kvroof::probe
