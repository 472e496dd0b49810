#include "model/serving/traces.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <string_view>

#include "model/user_error.hpp"

namespace kvroof::serving {
namespace {

using std::string_view;

struct Line {
  const std::string& file;
  int number;
  string_view text;

  [[noreturn]] void fail(string_view field, string_view expected, string_view got) const {
    throw UserError(fmt::format("{}:{}: {}: expected {}, got \"{}\"", file, number, field, expected,
                                got.substr(0, 60)));
  }
};

constexpr std::int64_t kLongest = 100'000'000;  // no context is longer; a sum of them fits an int64

std::int32_t length(const Line& line, string_view field, string_view text) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n < 1 || n > kLongest)
    line.fail(field, "a whole number of tokens >= 1", text);
  return static_cast<std::int32_t>(n);
}

double number(const Line& line, string_view field, string_view text) {
  double x = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(x))
    line.fail(field, "a finite number", text);
  return x;
}

/// Days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
std::int64_t days(std::int64_t y, unsigned m, unsigned d) {
  y -= m <= 2;
  const std::int64_t era = y / 400;
  const auto yoe = static_cast<unsigned>(y - era * 400);
  const unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/// "2023-11-16 18:17:03.9799600" in seconds.
double timestamp(const Line& line, string_view text) {
  const auto bad = [&] { line.fail("TIMESTAMP", "YYYY-MM-DD hh:mm:ss.sssssss", text); };
  if (text.size() < 19 || text[4] != '-' || text[7] != '-' || text[10] != ' ' || text[13] != ':' ||
      text[16] != ':')
    bad();
  const auto part = [&](int at, int size) {
    unsigned n = 0;
    const string_view s = text.substr(at, size);
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    if (error != std::errc{} || end != s.data() + s.size()) bad();
    return n;
  };
  const unsigned month = part(5, 2), day = part(8, 2), hour = part(11, 2), minute = part(14, 2);
  const double seconds = number(line, "TIMESTAMP", text.substr(17));
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || seconds < 0 ||
      seconds >= 61)
    bad();
  return static_cast<double>(days(part(0, 4), month, day) * 86400 + hour * 3600 + minute * 60) +
         seconds;
}

Request azure_row(const Line& line) {
  const std::size_t a = line.text.find(','), b = line.text.find(',', a + 1);
  if (a == string_view::npos || b == string_view::npos)
    line.fail("row", "TIMESTAMP,ContextTokens,GeneratedTokens", line.text);
  return {.arrival = Seconds{timestamp(line, line.text.substr(0, a))},
          .prompt = length(line, "ContextTokens", line.text.substr(a + 1, b - a - 1)),
          .output = length(line, "GeneratedTokens", line.text.substr(b + 1))};
}

/// The text of `"key": value` up to a comma, brace or bracket. The formats are flat, so no general
/// JSON reader is needed, and a 100 MB trace reads in a second.
string_view member(const Line& line, string_view key, bool required = true) {
  const std::string quoted = fmt::format("\"{}\"", key);
  std::size_t at = line.text.find(quoted);
  if (at == string_view::npos) {
    if (required) line.fail(key, "this key", line.text);
    return {};
  }
  at = line.text.find_first_not_of(" \t", at + quoted.size());
  if (at == string_view::npos || line.text[at] != ':') line.fail(key, "a value", line.text);
  at = line.text.find_first_not_of(" \t", at + 1);
  if (at == string_view::npos) line.fail(key, "a value", line.text);
  const std::size_t end = line.text.find_first_of(line.text[at] == '[' ? "]" : ",}", at);
  if (end == string_view::npos) line.fail(key, "a complete line", line.text);
  return line.text.substr(at, end - at);
}

void read_hashes(const Line& line, string_view key, string_view list, Trace& t, Request& r) {
  r.first_hash = static_cast<std::uint32_t>(t.hashes.size());
  for (list.remove_prefix(1); !list.empty();) {
    const std::size_t comma = std::min(list.find(','), list.size());
    string_view item = list.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    std::int64_t hash = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), hash);
    if (error != std::errc{} || end != item.data() + item.size())
      line.fail(key, "a list of whole numbers", item);
    t.hashes.push_back(hash);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  r.num_hashes = static_cast<std::uint32_t>(t.hashes.size()) - r.first_hash;
}

Request json_row(const Line& line, Trace& t) {
  if (line.text.back() != '}') line.fail("row", "a complete {…} object", line.text);
  string_view stamp = member(line, "timestamp", false);
  if (stamp.empty()) stamp = member(line, "timestamp_ms");
  Request r{.arrival = Seconds{number(line, "timestamp", stamp) * milli},
            .prompt = length(line, "input_length", member(line, "input_length")),
            .output = length(line, "output_length", member(line, "output_length"))};
  for (const auto& [key, block] : {std::pair{"hash_ids", 512}, std::pair{"hash_ids_16", 16}})
    if (const string_view list = member(line, key, false); !list.empty()) {
      if (list.front() != '[') line.fail(key, "a list of whole numbers", list);
      read_hashes(line, key, list, t, r);
      t.hash_block = block;
    }
  return r;
}

}  // namespace

Trace read_trace(std::istream& in, const std::string& name) {
  Trace t;
  bool azure = false;
  std::string text;
  for (int row = 1; std::getline(in, text); ++row) {
    while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.pop_back();
    if (text.empty()) continue;
    const Line line{name, row, text};
    if (row == 1 && text.front() != '{') {
      if (text != "TIMESTAMP,ContextTokens,GeneratedTokens")
        line.fail("header", "TIMESTAMP,ContextTokens,GeneratedTokens, or JSON lines", text);
      azure = true;
      continue;
    }
    const Request r = azure ? azure_row(line) : json_row(line, t);
    if (!t.requests.empty() && r.arrival < t.requests.back().arrival)
      line.fail("timestamp", "one at or after the line before", text);
    t.requests.push_back(r);
  }
  if (t.requests.empty()) throw UserError(name + ": expected at least one request, got none");
  const Seconds start = t.requests.front().arrival;
  for (Request& r : t.requests) r.arrival -= start;
  return t;
}

Trace load_trace(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw UserError(path + ": expected a trace file, got nothing readable");
  return read_trace(in, path);
}

void spread_equal_stamps(Trace& trace) {
  std::vector<Request>& q = trace.requests;
  for (std::size_t i = 0; i < q.size();) {
    std::size_t end = i + 1;
    while (end < q.size() && q[end].arrival == q[i].arrival) ++end;
    if (end == q.size()) break;  // no next stamp to spread up to
    const Seconds first = q[i].arrival, width = q[end].arrival - first;
    const auto count = static_cast<double>(end - i);
    for (std::size_t j = i; j < end; ++j)
      q[j].arrival = first + width * (static_cast<double>(j - i) / count);
    i = end;
  }
}

void speed_up(Trace& trace, double factor) {
  for (Request& r : trace.requests) r.arrival = r.arrival / factor;
}

ArrivalStats arrival_stats(const Trace& trace) {
  const std::vector<Request>& q = trace.requests;
  if (q.size() < 2) return {};
  const auto gaps = static_cast<double>(q.size() - 1);
  const double span = (q.back().arrival - q.front().arrival).value, mean = span / gaps;
  double squares = 0;
  for (std::size_t i = 1; i < q.size(); ++i) {
    const double d = (q[i].arrival - q[i - 1].arrival).value - mean;
    squares += d * d;
  }
  if (mean <= 0) return {};
  return {.rate = 1 / mean, .cv = std::sqrt(squares / gaps) / mean};
}

std::vector<Lengths> lengths(const Trace& trace) {
  std::vector<Lengths> out;
  out.reserve(trace.requests.size());
  for (const Request& r : trace.requests) out.push_back({r.prompt, r.output});
  return out;
}

}  // namespace kvroof::serving
