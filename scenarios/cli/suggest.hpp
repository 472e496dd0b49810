// "did you mean": what to say when the command line does not parse.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace kvroof::cli {

/// One sentence: what was wrong, the nearest verb or option, where help is.
std::string explain_parse_error(const CLI::App& app, const CLI::ParseError& error, int argc,
                                char** argv);

/// nullptr when there is no such verb.
const CLI::App* find_verb(const CLI::App& app, std::string_view name);

/// Verbs, or the long options of one verb: also what completion offers.
std::vector<std::string> verbs_of(const CLI::App& app);
std::vector<std::string> options_of(const CLI::App& verb);

}  // namespace kvroof::cli
