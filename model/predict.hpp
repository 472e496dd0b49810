// From an LLM on GPUs under a load to times:
// one prefill, one decode step, TTFT, TPOT, tokens per second.
#pragma once
#include <vector>

#include "model/engine.hpp"
#include "model/load.hpp"
#include "model/lowering.hpp"
#include "model/memory_fit.hpp"
#include "model/step_sums.hpp"
#include "model/time.hpp"

namespace kvroof {

/// The load of a prediction.
///   batch       requests in flight, over all data replicas
///   prompt      tokens of each prompt             output  tokens generated for each
///   context     s_kv of the decode step; 0: the middle of the generation, prompt + output/2
///   prefix_hit  share of the prompt found in the prefix cache
///   lock_step   the batch is prefilled at once (a static batch); otherwise requests come one by
///               one and their prefills share the GPU with the decode steps of the others
struct OperatingPoint {
  double batch = 1;
  double prompt = 1, output = 1;
  double context = 0;
  double prefix_hit = 0;
  bool lock_step = false;
  double decode_context() const { return context > 0 ? context : prompt + output / 2; }
  bool operator==(const OperatingPoint&) const = default;
};

/// Everything a prediction needs, resolved.
struct Setup {
  LlmShape llm;
  Policy policy;
  Machine machine;
  EngineTraits engine;
  OperatingPoint point;
};

/// One phase: the ops of one GPU, their times, their sum.
struct PhaseResult {
  StepLoad load;
  std::vector<Op> ops;
  std::vector<OpTime> times;
  StepTime step;
  Work work;  // sum over the ops, one GPU
  double mfu = 0,
         mbu = 0;  // achieved over dense datasheet peak: paper FLOP/s, compulsory HBM byte/s
};

struct Prediction {
  MemoryFit memory;
  PhaseResult prefill, decode;
  Seconds ttft;  // one request alone on idle GPUs
  StepTime ttft_step;
  Seconds tpot, tpot_low, tpot_high;  // decode step, host time, and the prefills that share the GPU
  Seconds interference;               // the last of these
  Seconds e2e;
  TokenRate output_rate;    // generated tokens per second, all GPUs
  double request_rate = 0;  // per second
  int gpus = 1;
  double usd_per_million_output_tokens = 0;
};

/// Load of one replica's decode step: its share of the batch, divided into pipeline micro-batches.
StepLoad decode_load(const Setup& setup);

/// Prefill of `requests` prompts; the cached prefix is attended to but not computed, and the last
/// token of a prompt always is.
StepLoad prefill_load(const OperatingPoint& point, double requests);

/// A batch through p stages in p micro-batches: the first stage's p and the p − 1 stages behind the
/// last of them take (2p − 1)/p times one micro-batch through all layers.
double fill_and_drain(int stages);

/// What service_times needs of a setup besides its steps.
ServiceTerms service_terms(const Setup& setup);

/// Evaluates one step; with pipeline stages the micro-batches follow one another through them.
PhaseResult phase(const Setup& setup, const Lowering& lowering, StepLoad load);

/// Throws std::invalid_argument when the LLM cannot be cut as asked (sharding_problem) and
/// std::domain_error when the machine lacks a unit. A job that does not fit still has phases (the
/// floors are facts) but `memory.fits` is false and no throughput may be printed.
Prediction predict(const Setup& setup);

}  // namespace kvroof
