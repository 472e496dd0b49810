// Predictions row by row: a problem becomes the reason of a refusal, never the end of the run.
#pragma once
#include <functional>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/accuracy/format.hpp"

namespace kvroof::accuracy {

/// `predict` returns the measurement's quantity in its unit; what it throws is the reason.
std::vector<Answer> answer_each(std::span<const Measurement> rows,
                                const std::function<double(const Measurement&)>& predict);

/// The setup of a row; std::runtime_error with the reason where there is none.
Setup setup_of(Context& context, const Measurement& m);

/// A value computed once for all rows with the same key; failures are remembered too.
template <class T>
class Once {
 public:
  const T& operator()(const std::string& key, const std::function<T()>& make) {
    auto it = known_.find(key);
    if (it == known_.end()) {
      Entry e;
      try {
        e.value = make();
      } catch (const std::exception& why) {
        e.problem = why.what();
      }
      it = known_.emplace(key, std::move(e)).first;
    }
    if (!it->second.problem.empty()) throw std::runtime_error(it->second.problem);
    return it->second.value;
  }

 private:
  struct Entry {
    T value{};
    std::string problem;
  };
  std::map<std::string, Entry> known_;
};

}  // namespace kvroof::accuracy
