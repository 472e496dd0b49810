#include "model/accuracy/cross_validate.hpp"

#include <algorithm>
#include <random>
#include <set>

namespace kvroof::accuracy {
namespace {

std::string key_of(const Sample& s, LeaveOut what) {
  switch (what) {
    case LeaveOut::group:
      return s.group();
    case LeaveOut::hardware:
      return s.machine.id;
    case LeaveOut::engine:
      return s.engine;
    case LeaveOut::model:
      return s.model;
  }
  return {};
}

void append(std::vector<Held>& out, const Fits& fits, const std::vector<const Sample*>& samples) {
  const std::vector<Held> some = evaluate(fits, samples);
  out.insert(out.end(), some.begin(), some.end());
}

}  // namespace

std::vector<Held> evaluate(const Fits& fits, const std::vector<const Sample*>& samples) {
  struct Served {
    EngineTraits traits;
    std::map<std::string, Machine> machines;
  };
  std::map<std::string, Served> engines;
  std::vector<Held> out;
  for (const Sample* s : samples) {
    auto e = engines.find(s->kernels());
    if (e == engines.end()) {
      auto f = fits.find(s->kernels());
      if (f == fits.end()) f = fits.find(s->engine);
      if (f == fits.end()) f = fits.find("generic");
      e = engines
              .emplace(s->kernels(),
                       Served{with_constants(prior_traits(s->engine), f->second.log_factor), {}})
              .first;
    }
    Served& served = e->second;
    auto m = served.machines.find(s->machine.id);
    if (m == served.machines.end())
      m = served.machines.emplace(s->machine.id, with_kernels_of(served.traits, s->machine)).first;
    out.push_back({s, predicted(*s, served.traits, m->second)});
  }
  return out;
}

std::vector<Held> random_halves(const std::vector<const Sample*>& samples,
                                const FitOptions& options, std::uint64_t seed) {
  std::set<std::string> names;
  for (const Sample* s : samples) names.insert(s->configuration);
  std::vector<std::string> dealt(names.begin(), names.end());
  std::mt19937_64 random(seed);
  for (std::size_t i = dealt.size(); i > 1; --i) std::swap(dealt[i - 1], dealt[random() % i]);
  const std::set<std::string> first(dealt.begin(),
                                    dealt.begin() + static_cast<std::ptrdiff_t>(dealt.size() / 2));
  std::vector<const Sample*> a, b;
  for (const Sample* s : samples) (first.count(s->configuration) ? a : b).push_back(s);
  std::vector<Held> out;
  if (a.empty() || b.empty()) return out;
  append(out, fit(a, options), b);
  append(out, fit(b, options), a);
  return out;
}

std::vector<Held> leave_out(const std::vector<const Sample*>& samples, const FitOptions& options,
                            LeaveOut what) {
  std::set<std::string> keys;
  for (const Sample* s : samples) keys.insert(key_of(*s, what));
  std::vector<Held> out;
  for (const std::string& key : keys) {
    std::vector<const Sample*> kept, held;
    for (const Sample* s : samples) (key_of(*s, what) == key ? held : kept).push_back(s);
    if (!kept.empty()) append(out, fit(kept, options), held);
  }
  return out;
}

ErrorFigures figures(const std::vector<Held>& held) {
  std::vector<double> errors;
  for (const Held& h : held) errors.push_back(h.error());
  return error_figures(std::move(errors));
}

}  // namespace kvroof::accuracy
