#include "model/serving/step_table.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

namespace kvroof::serving {
namespace {

/// 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, … : four knots an octave.
std::vector<double> knots(double most) {
  std::vector<double> x = {0, 1, 2, 3};
  for (double octave = 4; x.back() < most; octave *= 2)
    for (int i = 0; i < 4; ++i) x.push_back(octave * (1 + i / 4.0));
  return x;
}

/// The stretch that holds v, found from its exponent in constant time.
std::size_t stretch(const std::vector<double>& x, double v) {
  std::size_t i = 0;
  if (v < 4) {
    i = v > 0 ? static_cast<std::size_t>(v) : 0;
  } else {
    const int octave = std::ilogb(v);
    const double base = std::ldexp(1.0, octave);
    i = 4 + 4 * static_cast<std::size_t>(octave - 2) + static_cast<std::size_t>((v / base - 1) * 4);
  }
  return std::min(i, x.size() - 2);
}

}  // namespace

Curve::Curve(double most, const std::function<double(double)>& f) : x_(knots(most)) {
  for (const double x : x_) y_.push_back(f(x));
}

double Curve::operator()(double x) const {
  const std::size_t i = stretch(x_, x);
  return y_[i] + (y_[i + 1] - y_[i]) * (x - x_[i]) / (x_[i + 1] - x_[i]);
}

Surface::Surface(double most_x, double most_y, const std::function<double(double, double)>& f)
    : x_(knots(most_x)), y_(knots(most_y)) {
  for (const double x : x_)
    for (const double y : y_) z_.push_back(f(x, y));
}

double Surface::operator()(double x, double y) const {
  const std::size_t i = stretch(x_, x), j = stretch(y_, y), n = y_.size();
  const double u = (x - x_[i]) / (x_[i + 1] - x_[i]), v = (y - y_[j]) / (y_[j + 1] - y_[j]);
  const double* row = &z_[i * n + j];
  return (1 - u) * ((1 - v) * row[0] + v * row[1]) + u * ((1 - v) * row[n] + v * row[n + 1]);
}

StepTime tabulate(const StepParts& parts, const StepSizes& sizes) {
  struct Tables {
    Curve linear;
    Surface decode, prefill;
  };
  const auto zero_at_origin = [](auto f) {
    return [f](double x, double y) { return x > 0 ? f(x, y).value : 0.0; };
  };
  auto tables = std::make_shared<const Tables>(
      Tables{{sizes.tokens, [&](double t) { return parts.linear(std::max(1.0, t)).value; }},
             {sizes.requests, sizes.context, zero_at_origin(parts.decode)},
             {sizes.tokens, sizes.context, zero_at_origin(parts.prefill)}});
  return [tables](const StepMix& m) {
    double t = tables->linear(m.decodes * m.verify + m.prefill_tokens);
    if (m.decodes > 0) t += tables->decode(m.decodes, m.context / m.decodes);
    if (m.prefills > 0 && m.prefill_tokens > 0) {
      // Chunks of a step are taken as equal: the mean length and the mean of what is cached.
      const double s_q = m.prefill_tokens / m.prefills;
      const double cached = std::max(0.0, m.prefill_pairs / m.prefill_tokens - s_q / 2);
      t += m.prefills * tables->prefill(s_q, cached);
    }
    return Seconds{t};
  };
}

}  // namespace kvroof::serving
