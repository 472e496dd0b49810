#include "model/accuracy/tally.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <tuple>

#include "model/user_error.hpp"

namespace kvroof::accuracy {
namespace {

namespace fs = std::filesystem;

double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  const std::size_t n = v.size();
  return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

bool is_table(const fs::path& p) {
  const std::string name = p.filename().string();
  return name.ends_with(".csv") || name.ends_with(".csv.gz");
}

/// Files in order of their path, so that results do not depend on the folder's order.
std::vector<fs::path> tables(const std::vector<std::string>& paths) {
  std::vector<fs::path> out;
  for (const std::string& path : paths) {
    if (!fs::exists(path)) throw UserError(path + ": expected a file or folder, found none");
    if (!fs::is_directory(path)) {
      out.emplace_back(path);
      continue;
    }
    for (const fs::directory_entry& e : fs::recursive_directory_iterator(path))
      if (e.is_regular_file() && is_table(e.path())) out.push_back(e.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

ErrorFigures error_figures(std::vector<double> errors) {
  if (errors.empty()) return {};
  std::vector<double> size;
  size.reserve(errors.size());
  for (double e : errors) size.push_back(std::abs(e));
  const double n = static_cast<double>(errors.size());
  return {.mape = std::accumulate(size.begin(), size.end(), 0.0) / n,
          .median_ape = median(size),
          .bias = median(std::move(errors)),
          .within_20 = static_cast<double>(std::count_if(size.begin(), size.end(),
                                                         [](double e) { return e <= 0.2; })) /
                       n};
}

Tally tally(std::vector<Outcome> outcomes, Context& context) {
  struct Sum {
    int rows = 0;
    std::vector<double> errors;
  };
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>, Sum> sums;
  std::map<std::pair<std::string, std::string>, int> refused;
  for (const Outcome& o : outcomes) {
    const Measurement& m = o.row;
    Sum& s = sums[{m.file, context.hardware_name(m.hardware), context.llm_name(m.llm),
                   m.engine + (m.mode == Mode::disaggregated ? " disaggregated" : ""), m.metric}];
    ++s.rows;
    if (const auto* predicted = std::get_if<double>(&o.answer))
      s.errors.push_back(*predicted / m.value - 1);
    else ++refused[{m.file, std::get<std::string>(o.answer)}];
  }
  Tally t;
  t.outcomes = std::move(outcomes);
  for (auto& [key, s] : sums)
    t.groups.push_back({.file = std::get<0>(key),
                        .hardware = std::get<1>(key),
                        .model = std::get<2>(key),
                        .engine = std::get<3>(key),
                        .metric = std::get<4>(key),
                        .rows = s.rows,
                        .answered = static_cast<int>(s.errors.size()),
                        .errors = error_figures(std::move(s.errors))});
  for (const auto& [key, count] : refused) t.refused.push_back({key.first, key.second, count});
  std::stable_sort(t.refused.begin(), t.refused.end(),
                   [](const auto& a, const auto& b) { return a.count > b.count; });
  return t;
}

std::vector<std::string> for_each_table(
    const std::vector<std::string>& paths,
    const std::function<void(const Csv&, const FileFormat&)>& use) {
  std::vector<std::string> unread;
  for (const fs::path& path : tables(paths)) try {
      const Csv csv = read_csv(path.string());
      if (const FileFormat* format = find_format(csv)) use(csv, *format);
      else unread.push_back(path.filename().string() + ": no measurements in a form known here");
    } catch (const UserError& e) {
      unread.push_back(e.messages().empty() ? path.string() : e.messages().front());
    }
  return unread;
}

Tally assess(const std::vector<std::string>& paths) {
  // Constants fitted on rows of 2025 and 2026 hold for engines of those years; older tables differ
  // from the GPU profiles in ways their own readers state.
  Context context, older(false);
  std::vector<Outcome> outcomes;
  auto unread = for_each_table(paths, [&](const Csv& csv, const FileFormat& format) {
    std::vector<Measurement> asked;
    std::vector<std::size_t> place;
    const std::size_t first = outcomes.size();
    for (Read& r : format.read(csv)) {
      if (auto* refusal = std::get_if<Refusal>(&r)) {
        outcomes.push_back({std::move(refusal->row), std::move(refusal->reason)});
      } else {
        place.push_back(outcomes.size());
        asked.push_back(std::get<Measurement>(r));
        outcomes.push_back({std::move(std::get<Measurement>(r)), 0.0});
      }
    }
    const std::vector<Answer> answers = format.predict(format.recent ? context : older, asked);
    for (std::size_t i = 0; i < place.size(); ++i) {
      Answer a = i < answers.size() ? answers[i] : Answer{std::string("no answer")};
      // Neither a prediction that is not a positive number nor a measured zero has an error.
      if (const auto* v = std::get_if<double>(&a); v && (!std::isfinite(*v) || *v <= 0))
        a = std::string("the prediction is not a positive number");
      if (!(asked[i].value > 0)) a = std::string("the measured value is not above zero");
      outcomes[place[i]].answer = std::move(a);
    }
    for (std::size_t i = first; i < outcomes.size(); ++i)
      outcomes[i].row.file = fs::path(csv.file).filename().string();
  });
  Tally t = tally(std::move(outcomes), context);
  t.unread = std::move(unread);
  return t;
}

}  // namespace kvroof::accuracy
