// Neighbours of a scenario: the same deployment at another batch, context or degree of parallelism.
#pragma once
#include <optional>

#include "model/predict.hpp"

namespace kvroof::cli {

Setup with_batch(Setup s, double batch);
/// A lock-step point decodes at `tokens`; otherwise prompts have `tokens`.
Setup with_context(Setup s, double tokens);
Setup with_tensor_parallel(Setup s, int tensor);

/// Nothing where the job does not fit, cannot be cut so, or the GPU lacks the unit.
std::optional<Prediction> predict_if_fits(const Setup& s);

/// Most requests that may run at once: the engine's limit, and what the cache holds.
double most_requests(const Setup& s);

}  // namespace kvroof::cli
