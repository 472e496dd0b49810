#include "cupti_probe/formula.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include "cupti_probe/error.hpp"

namespace kvroof::probe {
namespace {

/// Recursive descent: sum = product {(+|-) product}, product = unary {(*|/) unary}.
class Parser {
 public:
  Parser(std::string_view text, std::string_view file, Place at, std::vector<std::string>& metrics,
         std::vector<Place>& places)
      : text_(text), file_(file), at_(at), metrics_(metrics), places_(places) {}

  std::vector<Step> run() {
    sum();
    if (peek() != '\0') fail("an operator + - * / or the end of the line");
    return std::move(steps_);
  }

 private:
  char peek() {
    while (pos_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[pos_]))) ++pos_;
    return pos_ < text_.size() ? text_[pos_] : '\0';
  }

  [[noreturn]] void fail(std::string_view expected) {
    const char found = peek();
    throw UserError(fmt::format(
        "{}:{}:{}: formula: expected {}, got {}", file_, at_.line,
        at_.column + static_cast<int>(pos_), expected,
        found == '\0' ? "the end of the line" : fmt::format("'{}'", text_.substr(pos_))));
  }

  void sum() {
    product();
    for (char op = peek(); op == '+' || op == '-'; op = peek()) {
      ++pos_;
      product();
      steps_.push_back({op});
    }
  }

  void product() {
    unary();
    for (char op = peek(); op == '*' || op == '/'; op = peek()) {
      ++pos_;
      unary();
      steps_.push_back({op});
    }
  }

  void unary() {
    const char c = peek();
    if (c == '-') {
      ++pos_;
      unary();
      steps_.push_back({'~'});
    } else if (c == '(') {
      ++pos_;
      sum();
      if (peek() != ')') fail("')'");
      ++pos_;
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      number();
    } else if (std::isalpha(static_cast<unsigned char>(c))) {
      metric();
    } else {
      fail("a number, a metric name or '('");
    }
  }

  void number() {
    double value = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + pos_, text_.data() + text_.size(), value);
    if (error != std::errc{}) fail("a number");
    pos_ = static_cast<std::size_t>(end - text_.data());
    steps_.push_back({'n', value});
  }

  void metric() {
    const std::size_t start = pos_;
    const auto in_name = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
    };
    while (pos_ < text_.size() && in_name(text_[pos_])) ++pos_;
    const std::string name(text_.substr(start, pos_ - start));
    if (name.find('.') == std::string::npos) {
      pos_ = start;
      fail("a full metric name such as dram__bytes_read.sum (counter and rollup)");
    }
    const auto found = std::find(metrics_.begin(), metrics_.end(), name);
    steps_.push_back({'m', 0, static_cast<std::size_t>(found - metrics_.begin())});
    if (found != metrics_.end()) return;
    metrics_.push_back(name);
    places_.push_back({at_.line, at_.column + static_cast<int>(start)});
  }

  std::string_view text_, file_;
  Place at_;
  std::vector<std::string>& metrics_;
  std::vector<Place>& places_;
  std::size_t pos_ = 0;
  std::vector<Step> steps_;
};

}  // namespace

std::vector<Step> parse_formula(std::string_view text, std::string_view file, Place at,
                                std::vector<std::string>& metrics, std::vector<Place>& places) {
  return Parser(text, file, at, metrics, places).run();
}

std::optional<double> evaluate(const FigureDef& figure, std::span<const double> metrics) {
  std::vector<double> stack;
  const auto pop = [&] {
    const double top = stack.back();
    stack.pop_back();
    return top;
  };
  for (const Step& step : figure.steps) {
    if (step.op == 'n') {
      stack.push_back(step.number);
    } else if (step.op == 'm') {
      stack.push_back(metrics[step.metric]);
    } else if (step.op == '~') {
      stack.push_back(-pop());
    } else {
      const double b = pop(), a = pop();
      if (step.op == '/' && b == 0) return std::nullopt;
      stack.push_back(step.op == '+'   ? a + b
                      : step.op == '-' ? a - b
                      : step.op == '*' ? a * b
                                       : a / b);
    }
  }
  return std::isfinite(stack.back()) ? std::optional(stack.back()) : std::nullopt;
}

}  // namespace kvroof::probe
