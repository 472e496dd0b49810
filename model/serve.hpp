// A setup as a service: the step time its simulation uses, and the limits of its engine.
#pragma once
#include "model/predict.hpp"
#include "model/serving/replica.hpp"

namespace kvroof {

/// Step time of one data replica, tabulated: expected times of the ops under the roofline law, plus
/// the engine's host time. `verify` tokens per decoding request.
serving::StepTime step_time(const Setup& setup, double verify = 1);

/// Slots, token budget and block pool of one data replica. The pool is what memory_fit leaves for
/// requests of `tokens_per_request`; UserError when nothing is left.
serving::Limits limits(const Setup& setup, double tokens_per_request);

}  // namespace kvroof
