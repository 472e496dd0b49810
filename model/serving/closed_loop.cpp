#include "model/serving/closed_loop.hpp"

#include <algorithm>
#include <cmath>

namespace kvroof::serving {
namespace {

/// Prompt tokens one step has room for.
double room(const Loop& l, double decodes) {
  return std::max(1.0, l.budget - (l.alone ? 0 : decodes));
}

}  // namespace

double prompt_chunks(const Loop& l, double decodes) {
  return std::ceil(l.prompt / room(l, decodes) - 1e-9);
}

StepShare prompt_step(const Loop& l, double decodes, double prompts) {
  const double chunks = prompt_chunks(l, decodes);
  const double s_q = l.prompt / chunks;
  StepShare s;
  if (!l.alone && decodes > 0)
    s.load.push_back({.requests = decodes, .s_q = 1, .cached = std::max(0.0, l.context - 1)});
  // A chunk in the middle of the prompt stands for all: attention is linear in what came before.
  s.load.push_back({.requests = prompts,
                    .s_q = s_q,
                    .cached = l.cached + (l.prompt - s_q) / 2,
                    .logit_rows = 1 / chunks});
  s.per_token = chunks;
  s.requests = (l.alone ? 0 : decodes) + prompts;
  return s;
}

std::vector<StepShare> closed_loop(const Loop& l) {
  std::vector<StepShare> out{
      {{{.requests = l.requests, .s_q = 1, .cached = std::max(0.0, l.context - 1)}},
       1,
       l.requests}};
  out[0].per_token = 1 / l.emitted;
  double arrivals = std::max(0.0, l.requests - 1) / std::max(1.0, l.output);
  if (arrivals <= 0) return out;
  const double most = std::max(1.0, room(l, l.requests) / l.prompt);
  const bool waves = l.alone && l.in_step;
  const double together = std::clamp(waves ? l.requests : arrivals * l.emitted, 1.0, most);
  if (waves) arrivals /= 2;
  StepShare mixed = prompt_step(l, l.requests, together);
  mixed.per_token *= arrivals / together;
  if (!l.alone) out[0].per_token = std::max(0.0, out[0].per_token - mixed.per_token);
  out.push_back(std::move(mixed));
  return out;
}

}  // namespace kvroof::serving
