// kvroof profiles: the GPUs we know; `profiles show ID` prints every figure with its source.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "reports/grid.hpp"
#include "reports/text.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;

template <class Q>
std::string in(const Figure<Q>& f, double unit) {
  if (!f.known()) return "–";
  return f.value->value > 0 ? fmt::format("{:.0f}", f.value->value / unit) : "none";
}
template <class Q>
Json json(const Figure<Q>& f) {
  return f.known() ? Json(f.value->value) : Json(nullptr);
}

std::string status(const HardwareProfile& p) {
  if (!p.measured.date.empty()) return "measured " + p.measured.date;
  return p.measured.hbm_read.known() || p.measured.hbm_copy.known() ? "public measurements"
                                                                    : "datasheet: ranges are wide";
}

void list(const std::string& format) {
  reports::Grid g("lrrrrrrrl");
  g.row({"id", "HBM GB/s", "measured", "BF16 TFLOP/s", "measured", "FP8", "GiB", "link GB/s",
         "status"});
  Json all = Json::array();
  for (const std::string& id : profile_ids()) {
    const HardwareProfile p = load_profile(find_profile(id, search_roots()));
    const Machine m = to_machine(p);
    g.row({id, in(p.datasheet.hbm_bandwidth, giga), in(p.measured.hbm_read, giga),
           in(p.datasheet.bf16, tera), in(p.measured.bf16, tera), in(p.datasheet.fp8, tera),
           fmt::format("{:.1f}", m.memory.value / gibi), in(p.datasheet.nvlink, giga), status(p)});
    all.push_back({{"id", id},
                   {"name", p.name},
                   {"hbm_peak", json(p.datasheet.hbm_bandwidth)},
                   {"hbm_read_measured", json(p.measured.hbm_read)},
                   {"bf16_peak", json(p.datasheet.bf16)},
                   {"bf16_measured", json(p.measured.bf16)},
                   {"fp8_peak", json(p.datasheet.fp8)},
                   {"memory_bytes", m.memory.value},
                   {"nvlink_per_direction", json(p.datasheet.nvlink)},
                   {"gpu_hour_usd", m.gpu_hour_usd},
                   {"status", status(p)}});
  }
  if (format == "json")
    std::cout << Json{{"schema", "kvroof/result/v1"},
                      {"inputs", Json::object()},
                      {"results", {{"profiles", all}}},
                      {"warnings", Json::array()}}
                     .dump(2)
              << '\n';
  else if (format == "csv") g.print_csv(std::cout);
  else if (format == "md") g.print_markdown(std::cout);
  else {
    g.print(std::cout);
    std::cout << "\ndense rates, no sparsity; memory as the driver reports it, in GiB; links per "
                 "direction; 0: no such unit\n"
                 "kvroof profiles show ID      every figure with its source\n";
  }
}

}  // namespace

void add_profiles(CLI::App& app, int&) {
  auto format = std::make_shared<std::string>("table");
  auto id = std::make_shared<std::string>();
  CLI::App* verb = app.add_subcommand(
      "profiles", "hardware profiles: datasheet, measured, fitted, with sources");
  verb->add_option("--format", *format, "table | json | csv | md")
      ->check(CLI::IsMember({"table", "json", "csv", "md"}));
  CLI::App* show = verb->add_subcommand("show", "every figure of one profile with its source");
  show->add_option("id", *id, "profile id or path")->required();
  show->callback(
      [id] { std::cout << print_profile(load_profile(find_profile(*id, search_roots()))); });
  verb->callback([verb, format] {
    if (verb->get_subcommands().empty()) list(*format);
  });
}

}  // namespace kvroof::cli
