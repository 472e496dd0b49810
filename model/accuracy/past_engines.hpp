// Engines as they were when a table was made: what they did differently from the engines modelled
// by default, each a physical difference with one constant.
#pragma once
#include "model/predict.hpp"

namespace kvroof::accuracy {

/// The engine without constants that were fitted on serving rows of 2025 and 2026, for tables made
/// before. `own` is the GPU without an engine's factors.
Setup unfitted(Setup setup, const Machine& own);

/// Python launches every kernel of a step one by one: no graphs, and an operator costs the host
/// more than the GPU at small batches. vLLM of 2023, Hugging Face transformers.
Setup eager(Setup setup);

/// Host time of what a Python loop does around one pass of a network: masks, positions, top-k,
/// sampling, about forty operators.
Seconds eager_pass_overhead();

/// vLLM before its V1 engine: scheduler, sampler and detokeniser in Python touched every sequence
/// in every step.
Setup python_scheduler(Setup setup);

/// DeepSpeed-MII: C++ operators without graphs.
Setup ungraphed(Setup setup);

/// TensorRT-LLM's executor driven in process by a C++ benchmark, as on its performance pages and in
/// MLPerf's harness: no HTTP server and no detokeniser, whose cost per sequence the fits of serving
/// rows hold. `own` is the GPU without an engine's factors.
Setup executor(Setup setup, const Machine& own);

/// Narrow products reach less of their peak than BF16 ones: factors from the operator tables.
Machine with_narrow_formats(Machine machine);

/// TensorRT-LLM before v0.11 shared K/V among the query heads of a group only where its XQA kernel
/// existed: groups of eight, heads of 128, from v0.6. Elsewhere, and for every network in v0.5,
/// masked multi-head attention ran on CUDA cores, a head at a time. `version` as version_number().
Setup early_trtllm(Setup setup, double version);

/// TensorRT-LLM keeps the whole cache of networks with a sliding window unless told otherwise.
Setup without_windows(Setup setup);

}  // namespace kvroof::accuracy
