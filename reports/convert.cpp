#include "reports/convert.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>

#include "reports/svg.hpp"

extern char** environ;

namespace kvroof::reports {
namespace {

/// Feeds `text` to `rsvg-convert -f FORMAT -o FILE`; no shell, so no name can be misread.
Saved rsvg(const std::string& text, const std::string& format, const std::string& file) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> input(std::tmpfile(), &std::fclose);
  if (!input || std::fwrite(text.data(), 1, text.size(), input.get()) != text.size())
    return {70, fmt::format("{}: no temporary file: {}", file, std::strerror(errno))};
  std::rewind(input.get());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(input.get()), STDIN_FILENO);
  std::string name = "rsvg-convert", f = "-f", o = "-o", zoom = "-z", two = "2", kind = format,
              path = file;
  char* argv[] = {name.data(), f.data(),    kind.data(), o.data(),
                  path.data(), zoom.data(), two.data(),  nullptr};
  if (format == "pdf") argv[5] = nullptr;  // a page keeps its size, pixels want twice as many
  pid_t child = 0;
  const int error = posix_spawnp(&child, name.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  const char* missing = "install librsvg2-bin, or write .svg";
  if (error != 0) return {2, fmt::format("{}: {}", file, missing)};
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    return {2, fmt::format("{}: {}", file, missing)};
  return {70, fmt::format("{}: rsvg-convert failed", file)};
}

}  // namespace

Saved save_figure(const Scene& s, const std::filesystem::path& file) {
  const std::string ending = file.extension().string();
  if (ending == ".png" || ending == ".pdf") return rsvg(svg(s), ending.substr(1), file.string());
  if (ending != ".svg") return {2, fmt::format("{}: expected .svg, .png or .pdf", file.string())};
  std::ofstream out(file, std::ios::binary);
  out << svg(s);
  out.flush();
  if (!out) return {2, fmt::format("{}: cannot write", file.string())};
  return {};
}

}  // namespace kvroof::reports
