// The one exception for what a user can mend: a bad file, a bad flag, a figure nobody knows.
#pragma once
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace kvroof {

/// Carries every message found, one sentence each with its place. main prints them and exits 2.
class UserError : public std::runtime_error {
 public:
  static constexpr int kExitCode = 2;

  explicit UserError(std::string message) : UserError(std::vector{std::move(message)}) {}
  explicit UserError(std::vector<std::string> messages)
      : std::runtime_error(joined(messages)), messages_(std::move(messages)) {}

  const std::vector<std::string>& messages() const { return messages_; }

 private:
  static std::string joined(const std::vector<std::string>& messages) {
    std::string all;
    for (const std::string& m : messages) all += all.empty() ? m : "\n" + m;
    return all;
  }
  std::vector<std::string> messages_;
};

}  // namespace kvroof
