// A hand-made table through its reader and its predictions.
#pragma once
#include <string>
#include <vector>

#include "model/accuracy/format.hpp"

namespace kvroof::accuracy {

inline constexpr const char* kColumns =
    "source,url_or_repo_path,hardware,num_gpus,tp,pp,ep,model,weight_dtype,kv_dtype,isl,osl,"
    "batch_or_concurrency,metric,value,unit,note\n";

struct Row {
  Measurement m;
  Answer answer;
  double value() const { return std::get<double>(answer); }
  std::string reason() const {
    const auto* why = std::get_if<std::string>(&answer);
    return why ? *why : "";
  }
};

/// Every row, refusals included, in the order the format gives them.
inline std::vector<Row> table(const std::string& text, std::string_view format_name = {}) {
  const Csv csv = parse_csv(text, "rows.csv");
  const FileFormat* format = find_format(csv);
  if (!format || (!format_name.empty() && format->name != format_name)) return {};
  std::vector<Row> out;
  std::vector<Measurement> asked;
  std::vector<std::size_t> place;
  for (Read& r : format->read(csv)) {
    if (auto* refusal = std::get_if<Refusal>(&r)) {
      out.push_back({refusal->row, refusal->reason});
    } else {
      place.push_back(out.size());
      asked.push_back(std::get<Measurement>(r));
      out.push_back({asked.back(), 0.0});
    }
  }
  Context context;
  const std::vector<Answer> answers = format->predict(context, asked);
  for (std::size_t i = 0; i < place.size(); ++i) out[place[i]].answer = answers.at(i);
  return out;
}

inline std::vector<Row> published(const std::string& rows, std::string_view format_name = {}) {
  return table(kColumns + rows, format_name);
}

}  // namespace kvroof::accuracy
