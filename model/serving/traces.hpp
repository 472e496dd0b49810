// Recorded traffic. Formats:
//   Azure     CSV   TIMESTAMP,ContextTokens,GeneratedTokens
//                   (github.com/Azure/AzurePublicDataset)
//   Mooncake  JSONL {"timestamp": ms, "input_length", "output_length",
//                   "hash_ids": 512-token blocks}
//                   (github.com/kvcache-ai/Mooncake)
//   ShareGPT  JSONL {"timestamp_ms", "input_length", "output_length",
//                   "hash_ids_16": 16-token blocks}
#pragma once
#include <istream>
#include <string>

#include "model/serving/request.hpp"

namespace kvroof::serving {

/// Reads a trace; the format is recognised by its first line. Throws UserError naming file, line
/// and field for anything unreadable: a truncated last line, a length that is no positive whole
/// number, a timestamp that is none or goes backwards by more than a file's rounding.
Trace read_trace(std::istream& in, const std::string& name);
Trace load_trace(const std::string& path);

/// Requests with the same stamp spread evenly up to the next stamp. Mooncake's conversation trace
/// stamps whole batches of requests alike; replayed as it is, its bursts are an artefact.
void spread_equal_stamps(Trace& trace);

/// Arrival times divided by `factor`: 2 is twice the rate.
void speed_up(Trace& trace, double factor);

/// Requests per second between first and last arrival, and the coefficient of variation of gaps.
struct ArrivalStats {
  double rate = 0, cv = 0;
};
ArrivalStats arrival_stats(const Trace& trace);

}  // namespace kvroof::serving
