#include "model/accuracy/answers.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace kvroof::accuracy {

std::vector<Answer> answer_each(std::span<const Measurement> rows,
                                const std::function<double(const Measurement&)>& predict) {
  std::vector<Answer> out;
  out.reserve(rows.size());
  for (const Measurement& m : rows) try {
      const double x = predict(m);
      if (std::isfinite(x) && x > 0) out.emplace_back(x);
      else out.emplace_back("the prediction is not a finite number above zero");
    } catch (const std::exception& e) {
      out.emplace_back(std::string(e.what()));
    }
  return out;
}

Setup setup_of(Context& context, const Measurement& m) {
  std::variant<Setup, std::string> s = context.setup(m);
  if (const auto* why = std::get_if<std::string>(&s)) throw std::runtime_error(*why);
  return std::get<Setup>(std::move(s));
}

}  // namespace kvroof::accuracy
