#include "scenarios/cli/records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <sstream>

#include "model/csv.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "model/time.hpp"
#include "model/user_error.hpp"
#include "reports/text.hpp"
#include "scenarios/cli/kernel_op.hpp"

namespace kvroof::cli {
namespace {

using reports::Validation;

/// Groups of one quantity, by first appearance.
Validation::Group& group_of(Validation& v, const std::string& name) {
  for (Validation::Group& g : v.groups)
    if (g.name == name) return g;
  return v.groups.emplace_back(Validation::Group{name, {}});
}

Validation& scatter_of(RecordFigures& f, const std::string& quantity, const std::string& unit) {
  for (Validation& v : f.scatters)
    if (v.quantity == quantity) return v;
  Validation v;
  v.quantity = quantity, v.unit = unit;
  return f.scatters.emplace_back(std::move(v));
}

reports::Roofline::Gpu roofs(const Machine& m) {
  const Roof<Throughput>& bf16 = m.roof(MathType::bf16);
  return {
      m.id,
      {{"hbm", "HBM", m.hbm.peak, m.hbm.achieved, true, std::string(name(m.hbm.source))}},
      {{"bf16", "BF16 tensor", bf16.peak, bf16.achieved, true, std::string(name(bf16.source))}}};
}

bool chosen(const std::vector<std::string>& of, const std::string& name) {
  return of.empty() || std::find(of.begin(), of.end(), name) != of.end();
}

/// What a roofline needs of one shape of a kernel: as counted, and the time as predicted.
struct Shape {
  std::string kernel, args;
  double flops = 0, bytes = 0, predicted = 0, measured = 0;
};

void add_point(const Shape& s, const Machine& machine, RecordFigures& f) {
  if (!(s.flops > 0 && s.bytes > 0 && s.predicted > 0 && s.measured > 0)) return;
  if (!f.roofline) f.roofline = reports::Roofline{{}, {roofs(machine)}, {}, {}};
  f.roofline->points.push_back({.name = s.kernel,
                                .kind = s.kernel,
                                .intensity = Flops{s.flops} / Bytes{s.bytes},
                                .predicted = Flops{s.flops} / Seconds{s.predicted},
                                .measured = Flops{s.flops} / Seconds{s.measured},
                                .details = {{{"shape", s.args},
                                             {"expected", reports::text(Seconds{s.predicted})},
                                             {"measured", reports::text(Seconds{s.measured})}},
                                            ""}});
}

/// Times read better in µs, bytes in MB, FLOPs in G; the ratio does not care.
std::pair<std::string, double> shown_in(const std::string& unit) {
  if (unit == "s") return {"µs", micro};
  if (unit == "B" || unit == "byte") return {"MB", mega};
  if (unit == "flop") return {"GFLOP", giga};
  if (unit == "op") return {"Mop", mega};
  return {unit, 1};
}

void read_validate(const Csv& csv, const Machine& machine, const RecordChoice& choice,
                   RecordFigures& f) {
  const auto column = [&](const char* name) {
    return static_cast<std::size_t>(csv.column({name}));
  };
  const std::size_t part = column("part"), kernel = column("name"), args = column("args"),
                    quantity = column("quantity"), unit = column("unit"),
                    predicted = column("predicted"), measured = column("measured");
  Shape shape;
  const auto finish = [&] {
    if (chosen(choice.quantities, "roofline")) add_point(shape, machine, f);
  };
  for (const CsvRow& row : csv.rows) {
    const std::vector<std::string>& c = row.cells;
    if (c[part] != "kernel" || !chosen(choice.kernels, c[kernel])) continue;
    if (c[kernel] != shape.kernel || c[args] != shape.args) {
      finish();
      shape = {.kernel = c[kernel], .args = c[args]};
    }
    const std::optional<double> p = to_number(c[predicted]), m = to_number(c[measured]);
    if (c[quantity] == "executed FLOP") shape.flops = m.value_or(0);
    if (c[quantity] == "HBM read" || c[quantity] == "HBM written") shape.bytes += m.value_or(0);
    if (c[quantity] == "time") shape.predicted = p.value_or(0), shape.measured = m.value_or(0);
    if (!chosen(choice.quantities, c[quantity])) continue;
    if (!p || !m || *p <= 0 || *m <= 0) {
      ++f.left_out;
      continue;
    }
    const auto [in, scale] = shown_in(c[unit]);
    group_of(scatter_of(f, c[quantity], in), c[kernel])
        .at.push_back({*p / scale, *m / scale, c[kernel] + " " + c[args], {}});
  }
  finish();
}

void read_times(const Csv& csv, const Machine& machine, const RecordChoice& choice,
                RecordFigures& f) {
  const auto column = [&](const char* name) {
    return static_cast<std::size_t>(csv.column({name}));
  };
  const std::size_t kernel = column("kernel"), which = column("case"), us = column("us"),
                    p5 = column("p5_us"), p95 = column("p95_us");
  if (!f.roofline) f.roofline = reports::Roofline{{}, {roofs(machine)}, {}, {}};
  for (const CsvRow& row : csv.rows) {
    if (!chosen(choice.kernels, row.cells[kernel])) continue;
    const std::optional<KernelCall> call = parse_case(row.cells[kernel], row.cells[which]);
    const std::optional<double> measured = to_number(row.cells[us]);
    if (!call || !measured) {
      ++f.left_out;
      continue;
    }
    const Op op = kernel_op(*call, machine);
    const OpTime t = time(op, machine, Launch::graph);
    const std::string name = row.cells[kernel] + " " + row.cells[which];
    reports::Details details{{{"expected", reports::text(t.expected)},
                              {"speed of light", reports::text(t.floor)},
                              {"bound", std::string(kvroof::name(t.bound))}},
                             ""};
    group_of(scatter_of(f, "time", "µs"), row.cells[kernel])
        .at.push_back({t.expected.value / micro, *measured, name, details});
    const Seconds took{*measured * micro};
    reports::Roofline::Point point{.name = row.cells[kernel],
                                   .kind = row.cells[kernel],
                                   .intensity = op.work.intensity(),
                                   .predicted = op.work.flops / t.expected,
                                   .measured = op.work.flops / took};
    if (const auto lo = to_number(row.cells[p5]), hi = to_number(row.cells[p95]); lo && hi)
      point.p5 = Seconds{*lo * micro} / t.expected, point.p95 = Seconds{*hi * micro} / t.expected;
    details.rows.insert(details.rows.begin(), {"case", row.cells[which]});
    point.details = details;
    f.roofline->points.push_back(point);
  }
}

}  // namespace

std::optional<KernelCall> parse_case(const std::string& kernel, const std::string& text) {
  if (!attention::find_variant(kernel)) return std::nullopt;
  KernelCall call{.variant = kernel};
  call.shape.causal = false;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    double a = 0, b = 0;
    if (std::sscanf(word.c_str(), "b%lf", &a) == 1) call.shape.b = a;
    else if (std::sscanf(word.c_str(), "h%lf/%lf", &a, &b) == 2)
      call.shape.h_q = a, call.shape.h_kv = b;
    else if (std::sscanf(word.c_str(), "splits%lf", &a) == 1) call.options.splits = a;
    else if (std::sscanf(word.c_str(), "s%lf/%lf", &a, &b) == 2)
      call.shape.s_q = a, call.shape.s_kv = b;
    else if (std::sscanf(word.c_str(), "d%lf", &a) == 1) call.shape.d_qk = call.shape.d_v = a;
    else if (std::sscanf(word.c_str(), "window%lf", &a) == 1) call.shape.window = a;
    else if (std::sscanf(word.c_str(), "page%lf", &a) == 1) call.options.block_size = a;
    else if (std::sscanf(word.c_str(), "v%lf", &a) == 1)
      call.options.paged_version = static_cast<int>(a);
    else if (word == "causal") call.shape.causal = true;
    else if (word.rfind("fp8", 0) == 0) call.kv_dtype = Dtype::fp8;
    else if (word.rfind("int8", 0) == 0) call.kv_dtype = Dtype::int8;
    else return std::nullopt;
  }
  return call;
}

RecordFigures read_records(const std::vector<std::string>& files, const Machine& machine,
                           const RecordChoice& choice) {
  RecordFigures f;
  for (const std::string& file : files) {
    const Csv csv = read_csv(file);
    if (csv.has({"part", "name", "args", "quantity", "unit", "predicted", "measured"}))
      read_validate(csv, machine, choice, f);
    else if (csv.has({"kernel", "case", "us", "p5_us", "p95_us"}))
      read_times(csv, machine, choice, f);
    else
      throw UserError(file +
                      ": expected columns part,name,args,quantity,unit,predicted,measured "
                      "(kvroof-probe validate) or kernel,case,us,p5_us,p95_us");
  }
  if (f.scatters.empty() && !f.roofline)
    throw UserError(files.front() + ": expected rows with a prediction and a measurement" +
                    (choice.kernels.empty() && choice.quantities.empty()
                         ? ", got none"
                         : " of the chosen kernels and quantities, got none"));
  return f;
}

std::vector<reports::Figure> record_figures(const std::vector<std::string>& files,
                                            const Inputs& inputs, const RecordChoice& choice) {
  if (files.front().empty()) throw UserError("kvroof plot validation: expected CSV records");
  const auto hardware = inputs.flags.find("hardware");
  const HardwareProfile profile = load_profile(
      find_profile(hardware == inputs.flags.end() ? "h200-sxm-141gb" : hardware->second,
                   search_roots(inputs.profile_path)));
  const Machine machine =
      to_machine(profile, inputs.datasheet_roof ? RoofKind::datasheet : RoofKind::best);
  RecordFigures f = read_records(files, machine, choice);
  std::string sources;
  for (const std::string& file : files)
    sources += (sources.empty() ? "" : ", ") + file.substr(file.rfind('/') + 1);
  const std::string footer = fmt::format("measured: {} · predicted: kvroof " KVROOF_VERSION
                                         ", profile {} · {} rows have no "
                                         "prediction",
                                         sources, machine.id, f.left_out);
  std::vector<reports::Figure> out;
  if (f.roofline) {
    f.roofline->caption = {machine.id + " · kernels, measured against predicted",
                           "solid: measured, hollow: predicted; bands from achieved to datasheet",
                           footer};
    out.push_back(reports::figure("measured-roofline", *f.roofline));
  }
  for (reports::Validation& v : f.scatters) {
    v.caption = {machine.id + " · " + v.quantity + ", measured against predicted",
                 "every row of the records", footer};
    out.push_back(reports::figure("validation-" + std::to_string(out.size()), v));
  }
  return out;
}

}  // namespace kvroof::cli
