#include "reports/kernel_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "reports/grid.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

using Json = nlohmann::ordered_json;

std::string shape_text(const KernelCall& c) {
  const AttentionShape& x = c.shape;
  std::string s = fmt::format("b{:.0f} s{:.0f}/{:.0f} h{:.0f}/{:.0f} d{:.0f}", x.b, x.s_q, x.s_kv,
                              x.h_q, x.h_kv, x.d_qk);
  if (x.d_v != x.d_qk) s += fmt::format("/{:.0f}", x.d_v);
  s += fmt::format(" {}", name(c.dtype));
  if (c.kv_dtype && *c.kv_dtype != c.dtype) s += fmt::format("/{}", name(*c.kv_dtype));
  if (x.causal && x.s_q > 1) s += " causal";
  if (x.window > 0) s += fmt::format(" window {:.0f}", x.window);
  if (c.options.backward) s += " backward";
  return s;
}

std::string flop_text(Flops f) {
  constexpr std::pair<double, const char*> prefixes[] = {{tera, "T"}, {giga, "G"}, {mega, "M"}};
  for (const auto& [scale, prefix] : prefixes)
    if (f.value >= 0.9995 * scale) return number(f.value / scale) + " " + prefix + "FLOP";
  return number(f.value) + " FLOP";
}

}  // namespace

void print(std::ostream& out, const KernelReport& r, const std::string& format) {
  Grid g("llrrrrrrrrl");
  g.row({"variant", "shape", "FLOP", "executed", "HBM read", "written", "re-read", "FLOP/B",
         "speed of light", "expected", "bound"});
  for (const KernelRow& k : r.rows) {
    const Work& w = k.op.work;
    g.row({std::string(k.op.name), shape_text(k.call), flop_text(w.flops),
           flop_text(w.flops_executed), text(w.hbm_read()), text(w.hbm_written()),
           w.reread < Bytes{kibi} ? "–" : text(w.reread), number(w.intensity().value),
           text(k.time.floor), text(k.time.expected), std::string(name(k.time.bound))});
  }
  if (format == "csv") return g.print_csv(out);
  if (format == "md") return g.print_markdown(out);
  out << r.name << " · " << r.machine.id << " · ridge "
      << number(r.machine.roof(r.rows.front().op.math).peak / r.machine.hbm.peak / Intensity{1})
      << " FLOP/B (" << name(r.rows.front().op.math) << ")\n\n";
  g.print(out);
  if (r.rows.size() < 2) return;
  const KernelRow& first = r.rows.front();
  // A name that stands for several rows takes their shapes along.
  const auto label = [&](const KernelRow& k) {
    const auto same = std::count_if(r.rows.begin(), r.rows.end(),
                                    [&](const KernelRow& o) { return o.op.name == k.op.name; });
    return same > 1 ? fmt::format("{} {}", k.op.name, shape_text(k.call)) : std::string(k.op.name);
  };
  out << "\nagainst " << label(first) << ":\n";
  for (std::size_t i = 1; i < r.rows.size(); ++i) {
    const KernelRow& k = r.rows[i];
    out << fmt::format("  {} moves {}x fewer HBM bytes and is expected to be {}x faster\n",
                       label(k), number(first.op.work.hbm() / k.op.work.hbm()),
                       number(first.time.expected / k.time.expected));
  }
}

Json to_json(const KernelReport& r) {
  Json ops = Json::array();
  for (const KernelRow& k : r.rows) {
    const Work& w = k.op.work;
    ops.push_back({{"phase", "kernel"},
                   {"name", k.op.name},
                   {"shape", shape_text(k.call)},
                   {"flops", w.flops.value},
                   {"flops_executed", w.flops_executed.value},
                   {"hbm_read", w.hbm_read().value},
                   {"hbm_written", w.hbm_written().value},
                   {"hbm_reread", w.reread.value},
                   {"l2_to_sm", w.l2_to_sm.value},
                   {"exps", w.exps},
                   {"ctas", w.ctas},
                   {"launches", w.launches},
                   {"intensity", w.intensity().value},
                   {"floor_s", k.time.floor.value},
                   {"expected_s", k.time.expected.value},
                   {"bound", name(k.time.bound)}});
  }
  return {{"schema", "kvroof/result/v1"},
          {"inputs", Json::object()},
          {"results", {{"hardware", r.machine.id}, {"ops", ops}}},
          {"warnings", Json::array()}};
}

}  // namespace kvroof::reports
