// kvroof schema: JSON Schema of the input files, and their reference page.
#include <CLI/CLI.hpp>
#include <iostream>

#include "model/schema.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {

void add_schema(CLI::App& app, int&) {
  struct Options {
    std::string which = "scenario", format = "json";
  };
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("schema", "JSON Schema (draft-07) of the input files");
  verb->add_option("which", o->which, "scenario | hardware | llm")
      ->check(CLI::IsMember({"scenario", "hardware", "llm"}));
  verb->add_option("--format", o->format, "json: for editors and validators; md: reference page")
      ->check(CLI::IsMember({"json", "md"}));
  verb->callback(
      [o] { std::cout << (o->format == "md" ? emit_reference(o->which) : emit_schema(o->which)); });
}

}  // namespace kvroof::cli
