#include "scenarios/cli/plan_output.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>

#include "reports/grid.hpp"
#include "reports/text.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;
using plan::Option;

/// The title without what all options share.
std::string label(std::string title, const plan::Choices& c) {
  if (c.max_num_seqs.size() > 1) return title;
  for (std::size_t at; (at = title.find(" slots")) != std::string::npos;) {
    const std::size_t comma = title.rfind(", ", at);
    title.erase(comma, at + 6 - comma);
  }
  return title;
}

std::string groups(const Option& o) {
  const int each = o.setup.policy.parallel.gpus();
  return o.prefill ? fmt::format("{} x {} + {} x {}", o.prefill_groups,
                                 o.prefill->policy.parallel.gpus(), o.groups, each)
                   : fmt::format("{} x {}", o.groups, each);
}

std::string seconds(double s) { return std::isfinite(s) ? reports::text(Seconds{s}) : "any"; }

/// Why an option that could serve was not taken.
std::string loses(const Option& o, const Option& best) {
  if (!o.serves()) return "no: " + o.refusal;
  if (o.usd_per_hour <= best.usd_per_hour)
    return o.gpus > best.gpus ? fmt::format("same price, {} more GPU{}", o.gpus - best.gpus,
                                            o.gpus - best.gpus == 1 ? "" : "s")
                              : "";
  return fmt::format("{:.0f} % dearer: {:.3g} req/s a GPU",
                     100 * (o.usd_per_hour / best.usd_per_hour - 1),
                     o.prefill ? o.capacity / o.gpus : o.capacity / o.setup.policy.parallel.gpus());
}

Json tails_json(const plan::Tails& t) {
  return {{"ttft_p99_s", t.ttft}, {"tpot_p99_s", t.tpot}, {"mean_batch", t.mean_batch}};
}

Json option_json(const Option& o, const Option* best) {
  Json j{
      {"option", plan::title(o)}, {"disaggregated", o.prefill.has_value()}, {"serves", o.serves()}};
  if (!o.serves()) {
    j["why_not"] = o.refusal;
    if (o.own.idle.ttft > 0) j["idle"] = tails_json(o.own.idle);
    return j;
  }
  j["groups"] = o.groups;
  if (o.prefill) j["prefill_groups"] = o.prefill_groups;
  j["gpus"] = o.gpus, j["load"] = o.load, j["capacity_req_s_per_group"] = o.capacity;
  j["usd_per_hour"] = o.usd_per_hour;
  j["usd_per_million_output_tokens"] = o.usd_per_million_output_tokens;
  if (o.tails.ttft > 0) j["at_load"] = tails_json(o.tails);
  if (best) j["why_not"] = loses(o, *best);
  return j;
}

/// The nearest that can be had, and what would have to change. Exit 1: the answer is no.
void print_impossible(std::ostream& out, const plan::Plan& p, const PlanProblem& q) {
  const plan::Goal& d = q.demand;
  out << "NO option meets it.\n";
  for (const Option& o : p.options)
    out << "  " << label(plan::title(o), q.choices) << ": " << o.refusal << '\n';
  if (!p.no_pools.empty()) out << "  pools of their own: " << label(p.no_pools, q.choices) << '\n';
  const auto r = plan::reach(p);
  if (!r) return;
  out << fmt::format("\nidle GPUs do TTFT p99 {} at best ({}), TPOT p99 {} ({})\n",
                     seconds(r->ttft), label(r->ttft_of, q.choices), seconds(r->tpot),
                     label(r->tpot_of, q.choices));
  out << fmt::format("speed of light of these GPUs: {} to the first token, {} a token\n",
                     seconds(r->ttft_floor), seconds(r->tpot_floor));
  const auto change = [&](const char* what, double best, double limit, double floor) {
    if (best <= limit) return;
    out << fmt::format("to change: {} p99 to {} or more{}\n", what, seconds(best),
                       floor > limit
                           ? fmt::format("; the limit is {:.2g}x below the speed of light, which "
                                         "takes more bandwidth, more GPUs a group or fewer bytes",
                                         floor / limit)
                           : "; or a narrower format, more GPUs a group, a shorter prompt");
  };
  change("TTFT", r->ttft, d.slo.ttft_p99, r->ttft_floor);
  change("TPOT", r->tpot, d.slo.tpot_p99, r->tpot_floor);
}

}  // namespace

void print_plan(std::ostream& out, const PlanProblem& q, const plan::Plan& p, std::size_t rows) {
  const plan::Goal& d = q.demand;
  out << fmt::format(
      "Serve {:.4g} req/s of {} ({:.0f} in / {:.0f} out) with TTFT p99 <= {}, TPOT "
      "p99 <= {}\n\n",
      d.rate, q.resolved.setup.llm.id, d.prompt, d.output, seconds(d.slo.ttft_p99),
      seconds(d.slo.tpot_p99));
  if (!p.cheapest) return print_impossible(out, p, q);
  const Option& best = p.options[*p.cheapest];
  reports::Grid g("llrrrrrrrl");
  g.row({"", "option", "groups x GPUs", "GPUs", "load", "TTFT p99", "TPOT p99", "$/h", "$/Mtok out",
         "why not"});
  std::size_t shown = 0, silent = 0;
  for (std::size_t i = 0; i < p.options.size(); ++i) {
    const Option& x = p.options[i];
    const bool chosen = i == *p.cheapest || i == *p.smallest;
    if (!chosen && shown >= rows) {
      ++silent;
      continue;
    }
    ++shown;
    const std::string mark = i == *p.cheapest   ? (i == *p.smallest ? "$#" : "$")
                             : i == *p.smallest ? "#"
                                                : "";
    if (!x.serves()) {
      g.row({mark, label(plan::title(x), q.choices), "", "", "", "", "", "", "", loses(x, best)});
      continue;
    }
    const bool known = x.tails.ttft > 0;
    g.row({mark, label(plan::title(x), q.choices), groups(x), fmt::format("{}", x.gpus),
           fmt::format("{:.0f} %", 100 * x.load), known ? seconds(x.tails.ttft) : "",
           known ? seconds(x.tails.tpot) : "", fmt::format("{:.2f}", x.usd_per_hour),
           fmt::format("{:.3f}", x.usd_per_million_output_tokens), loses(x, best)});
  }
  g.print(out, "  ");
  if (!p.no_pools.empty()) out << "  pools of their own: " << label(p.no_pools, q.choices) << '\n';
  out << "\n$ cheapest  # fewest GPUs";
  if (silent > 0) out << fmt::format("  ({} more: --all, --format csv)", silent);
  out << fmt::format(
      "\nload is kept <= {:.0f} % of what a group serves within the limits (simulated "
      "p99){}\n",
      100 * d.max_load, d.spare ? fmt::format(", {} spare groups", d.spare) : "");
  if (!p.sensitivity.empty()) {
    out << "\nsensitive to (the leading options, simulated and sized anew)\n";
    reports::Grid t("lrrl");
    t.row({"", "GPUs", "$/h", "cheapest then"});
    for (const plan::Sensitivity& s : p.sensitivity)
      t.row({s.what, s.gpus ? fmt::format("{}", s.gpus) : "none",
             s.gpus ? fmt::format("{:.2f}", s.usd_per_hour) : "",
             s.other ? label(s.best, q.choices) : "same"});
    t.print(out, "  ");
  }
  out << "\nprices:";
  for (const Machine& m : q.choices.machines)
    out << fmt::format(" {} ${:.2f}", m.id, m.gpu_hour_usd);
  out << " per GPU-hour (inputs: --price gpu=dollars)\n";
}

void print_plan_csv(std::ostream& out, const plan::Plan& p) {
  reports::Grid g("l");
  g.row({"option", "serves", "groups", "prefill_groups", "gpus", "load", "capacity_req_s_per_group",
         "ttft_p99_s", "tpot_p99_s", "usd_per_hour", "usd_per_million_output_tokens", "why_not"});
  for (const Option& o : p.options) {
    const auto n = [&](double v) { return o.serves() ? fmt::format("{}", v) : ""; };
    g.row({plan::title(o), o.serves() ? "true" : "false", n(o.groups), n(o.prefill_groups),
           n(o.gpus), n(o.load), n(o.capacity), o.tails.ttft > 0 ? n(o.tails.ttft) : "",
           o.tails.tpot > 0 ? n(o.tails.tpot) : "", n(o.usd_per_hour),
           n(o.usd_per_million_output_tokens),
           p.cheapest ? loses(o, p.options[*p.cheapest]) : o.refusal});
  }
  g.print_csv(out);
}

nlohmann::ordered_json plan_json(const PlanProblem& q, const plan::Plan& p) {
  Json options = Json::array(), sensitivity = Json::array();
  const Option* best = p.cheapest ? &p.options[*p.cheapest] : nullptr;
  for (const Option& o : p.options) options.push_back(option_json(o, best));
  for (const plan::Sensitivity& s : p.sensitivity)
    sensitivity.push_back({{"what", s.what},
                           {"gpus", s.gpus},
                           {"usd_per_hour", s.usd_per_hour},
                           {"cheapest", s.best},
                           {"other", s.other}});
  Json j{{"model", q.resolved.setup.llm.id},
         {"request_rate", q.demand.rate},
         {"cheapest", best ? option_json(*best, nullptr) : Json()},
         {"smallest", p.smallest ? option_json(p.options[*p.smallest], nullptr) : Json()},
         {"options", options},
         {"why_no_pools", p.no_pools},
         {"sensitivity", sensitivity}};
  if (const auto r = plan::reach(p); r && !best)
    j["reach"] = {{"ttft_p99_s", r->ttft},
                  {"tpot_p99_s", r->tpot},
                  {"ttft_floor_s", r->ttft_floor},
                  {"tpot_floor_s", r->tpot_floor}};
  return j;
}

}  // namespace kvroof::cli
