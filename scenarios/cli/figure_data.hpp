// From predictions to figures: the one place where numbers of the model become what a figure shows.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/predict.hpp"
#include "reports/chrome_trace.hpp"
#include "reports/figures/curves.hpp"
#include "reports/figures/memory_map.hpp"
#include "reports/figures/op_times.hpp"
#include "reports/figures/roofline.hpp"

namespace kvroof::cli {

/// One scenario of a figure, evaluated. `name` tells it from the others of the same figure.
struct Subject {
  std::string name;
  Setup setup;
  Prediction prediction;
  Seconds ttft_slo, tpot_slo;  // 0: none
};

enum class Phase { decode, prefill };
inline const PhaseResult& of(const Prediction& p, Phase phase) {
  return phase == Phase::decode ? p.decode : p.prefill;
}

/// "llama-3.1-70b BF16 · 8 × h100-sxm-80gb (TP8) · batch 16 · context 4,352"
std::string headline(const Setup& s, std::optional<Phase> phase = {});

/// Title: the scenario, or the names of several. Footer: profiles, where their rates come from.
reports::Caption caption(std::span<const Subject> subjects, std::string title, std::string subtitle,
                         std::optional<Phase> phase = {});

/// Ops of one name together: layer groups of one LLM share names. Longest first. Times and work are
/// sums over all their runs in the step, on one GPU.
struct OpSum {
  std::string name;
  OpClass op_class = OpClass::gemm;
  Work work;
  Seconds floor, expected;
  Bound bound = Bound::hbm;  // of the largest part
  double runs = 0;
  Source source = Source::measured;
};
std::vector<OpSum> sums(const PhaseResult& p);

/// Every op, and the whole step: for decode at batch 1, 2, 4 … 256 as far as memory reaches.
reports::Roofline roofline(std::span<const Subject> subjects, Phase phase);
reports::OpTimes op_times(const Subject& s, Phase phase);
/// The parts of Gap that are not zero, in its order.
reports::Waterfall waterfall(const Subject& s, Phase phase);
reports::MemoryMap memory(std::span<const Subject> subjects);
/// Per GPU. One deployment: batches 1, its own, 4 times its own, and FP8 beside a 16-bit cache.
reports::KvContext kv_context(std::span<const Subject> subjects);
/// Batches 1 … max_num_seqs by powers of two, TP 1 … 8, as far as memory and sharding allow.
reports::Pareto pareto(std::span<const Subject> subjects);
/// Closed loop: requests in flight 1, 2, 4 … until the cache is full or max_num_seqs run.
/// TTFT = prefill + mean wait in an M/D/1 queue of prefills (DistServe eq. 1); for a lock-step
/// batch the prefill of the whole batch.
reports::LoadCurve load(std::span<const Subject> subjects);
/// Prompts of 1K … the LLM's limit, at the scenario's batch and at the largest one that fits.
reports::CostContext cost(std::span<const Subject> subjects);

/// A step on one GPU of the first pipeline stage, layer by layer; with overlapping communication
/// the collectives run beside the ops that follow them.
reports::ChromeTrace trace(const Subject& s, Phase phase);

}  // namespace kvroof::cli
