// The steps of an engine that serves a closed loop:
// `requests` in flight, each replaced when it ends.
#pragma once
#include <vector>

#include "model/load.hpp"

namespace kvroof::serving {

/// One replica's share of the loop.
///   prompt   tokens to compute of each prompt; `cached` more are found in the prefix cache
///   output   tokens generated for each
///   budget   tokens of one step (max_num_batched_tokens, chunked prefill)
///   alone    prompts are computed in steps of their own while decodes wait
struct Loop {
  double requests = 1, prompt = 1, cached = 0, output = 1, context = 1;
  double budget = 8192;
  bool alone = false;
  bool in_step = false;  // all requests have the same lengths and start together
  double emitted = 1;    // tokens per request and decode step (speculative: more than 1)
};

/// Steps of equal load and how many of them a request sees per token it generates.
struct StepShare {
  StepLoad load;
  double per_token = 1;
  double requests = 0;  // all that the host handles in it
};

/// While a request generates `output` tokens each of the requests − 1 others prefills once:
///   a = (requests − 1)/output prompts per step; each takes ⌈prompt/room⌉ chunks, or
///       k = min(a, room/prompt) of them share a step when several arrive per step
///   mixed  steps with prompt tokens beside the decodes: w = a·chunks/k of them, the rest decode
///          only
///   alone  decode steps, and w steps of prompt tokens between them. Requests that run in step all
///          return together and wait for half of the prompts of their wave.
/// The first entry is the plain decode step. Sarathi-Serve (arXiv:2403.02310) for chunked mixing.
std::vector<StepShare> closed_loop(const Loop& loop);

/// The steps of one prompt on its own, beside `decodes` requests that decode.
StepShare prompt_step(const Loop& loop, double decodes, double prompts = 1);
/// Chunks one prompt takes beside `decodes` requests.
double prompt_chunks(const Loop& loop, double decodes);

}  // namespace kvroof::serving
