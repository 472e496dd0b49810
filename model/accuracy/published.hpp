// Tables of published results share their first seventeen columns: source, url_or_repo_path,
// hardware, num_gpus, tp, pp, ep, model, weight_dtype, kv_dtype, isl, osl, batch_or_concurrency,
// metric, value, unit, note.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/accuracy/format.hpp"

namespace kvroof::accuracy {

/// Whether the table has those columns and the source of its first row contains `word`.
bool is_published(const Csv& csv, std::string_view word);

/// The columns every such table has, in SI units; the free-text ones go to `words` under their
/// names (source, note, batch, unit, metric). A row without a positive value, marked SUSPECT or
/// with cells missing is a refusal.
Read published_row(const Csv& csv, const CsvRow& cells);

/// Reads a table row by row: `finish` completes a measurement, or names why it cannot.
std::vector<Read> read_published(const Csv& csv,
                                 const std::function<std::string(Measurement&)>& finish);

/// "… max_batch 896 …", "max_batch" -> 896; the number that follows the word, or `otherwise`.
double number_after(std::string_view text, std::string_view word, double otherwise);

/// "v0.9.0" -> 0.09, "v0.15.0" -> 0.15, "v1.1" -> 1.01: comparable versions.
double version_number(std::string_view version);

bool mentions(std::string_view text, std::string_view word);  // letter case does not matter

/// Hardware, engine, network, parallelism and formats in one line: rows of one deployment share it.
std::string deployment(const Measurement& m);

// One reader and one closed form a table; each file says which runs it holds.
FileFormat trtllm_static_format();
FileFormat trtllm_offline_format();
FileFormat trtllm_online_format();
FileFormat mlperf_format();
FileFormat gpustack_format();
FileFormat argonne_format();
FileFormat splitwise_format();
FileFormat distserve_format();
FileFormat per_request_format();
FileFormat network_format();
FileFormat speculation_format();
FileFormat assorted_format();  // every other table with these columns
FileFormat operator_format();  // operators/*.csv.gz: GEMM, attention, MLA, MoE, collectives

}  // namespace kvroof::accuracy
