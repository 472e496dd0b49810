#include "scenarios/cli/suggest.hpp"

#include <algorithm>
#include <string_view>

#include "model/node.hpp"

namespace kvroof::cli {
namespace {

/// The verb on the command line, if it is one of ours.
const CLI::App* verb_of(const CLI::App& app, int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (argv[i][0] != '-') return find_verb(app, argv[i]);
  return nullptr;
}

}  // namespace

const CLI::App* find_verb(const CLI::App& app, std::string_view name) {
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    if (verb->get_name() == name) return verb;
  return nullptr;
}

std::vector<std::string> verbs_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb :
       app.get_subcommands([](const CLI::App* v) { return !v->get_name().empty(); }))
    if (!verb->get_group().empty()) names.push_back(verb->get_name());
  return names;
}

std::vector<std::string> options_of(const CLI::App& verb) {
  std::vector<std::string> names;
  for (const CLI::Option* option : verb.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::string explain_parse_error(const CLI::App& app, const CLI::ParseError& error, int argc,
                                char** argv) {
  const CLI::App* verb = verb_of(app, argc, argv);
  const std::vector<std::string> known = verb ? options_of(*verb) : verbs_of(app);
  const std::vector<std::string_view> views(known.begin(), known.end());
  const std::string program = app.get_name() + (verb ? " " + verb->get_name() : "");
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    word = word.substr(0, word.find('='));
    const bool option = word.substr(0, 2) == "--";
    if (verb ? !option : option) continue;
    if (std::find(views.begin(), views.end(), word) != views.end()) continue;
    std::string message = "unknown " + std::string(verb ? "option" : "verb") + " '" +
                          std::string(word) + "'" + did_you_mean(word, views);
    return message + " (" + program + " --help lists them)";
  }
  return std::string(error.what()) + " (" + program + " --help)";
}

}  // namespace kvroof::cli
