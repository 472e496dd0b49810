// kvroof completion SHELL: one line for the shell's start-up file;
// and the hidden __complete behind it.
#include <CLI/CLI.hpp>
#include <iostream>

#include "model/attention/variant.hpp"
#include "model/search_path.hpp"
#include "scenarios/cli/suggest.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

/// Words that may follow `previous` on the command line of `verb`.
std::vector<std::string> candidates(const CLI::App& app, const std::string& verb,
                                    const std::string& previous, const std::string& word) {
  const CLI::App* v = find_verb(app, verb);
  if (!v) return verbs_of(app);
  if (previous == "--hardware") return profile_ids();
  if (previous == "--model" || (verb == "models" && !word.starts_with("-"))) return llm_ids();
  if (previous == "--format") return {"table", "json", "csv", "md"};
  if (verb == "profiles" && !word.starts_with("-")) {
    std::vector<std::string> ids = profile_ids();
    ids.push_back("show");
    return ids;
  }
  return word.starts_with("-") ? options_of(*v) : std::vector<std::string>{};
}

}  // namespace

void add_completion(CLI::App& app, int& exit_code) {
  auto shell = std::make_shared<std::string>();
  CLI::App* verb =
      app.add_subcommand("completion", "the line that makes your shell complete kvroof");
  verb->add_option("shell", *shell, "bash | zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  verb->callback([shell] {
    if (*shell == "zsh") std::cout << "autoload -U +X bashcompinit && bashcompinit\n";
    std::cout << "complete -o default -C 'kvroof __complete' kvroof\n";
  });

  // bash runs: kvroof __complete COMMAND WORD PREVIOUS, with the whole line in COMP_LINE.
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* hidden = app.add_subcommand("__complete", "")->group("");
  hidden->prefix_command();
  hidden->callback([&app, hidden, &exit_code] {
    const std::vector<std::string> args = hidden->remaining();
    const std::string word = args.size() > 1 ? args[1] : "",
                      previous = args.size() > 2 ? args[2] : "";
    const char* line = std::getenv("COMP_LINE");
    std::string verb_name;
    if (line) {
      std::istringstream in{std::string(line)};
      in >> verb_name >> verb_name;
      if (verb_name == word) verb_name.clear();
    }
    for (const std::string& c : candidates(app, verb_name, previous, word))
      if (c.starts_with(word)) std::cout << c << '\n';
    exit_code = kOk;
  });
}

}  // namespace kvroof::cli
