#include "model/profile.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "model/printer.hpp"
#include "model/profile_fields.hpp"
#include "model/reader.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

namespace kvroof {
namespace {

/// A known figure must say where it is from.
struct SourceCheck {
  std::string path;
  Errors& errors;
  const Node& root;

  template <class T>
  void operator()(std::string_view key, Figure<T>& f, const Field&) {
    if (f.known() && f.source.empty())
      errors.add(mark(key), join_path(path, key) + ".source", "expected a source, got nothing");
  }
  template <class T>
  void operator()(std::string_view key, T& member, const Field&) {
    if constexpr (std::same_as<T, OpFit>) {
      if ((member.compute || member.memory || member.ramp) && member.source.empty())
        errors.add(mark(key), join_path(path, key) + ".source", "expected a source, got nothing");
    } else if constexpr (HasFields<T>) {
      const Node* child = root.find(key);
      SourceCheck inner{join_path(path, key), errors, child ? *child : root};
      fields(inner, member);
    }
  }
  Mark mark(std::string_view key) const {
    const Node* n = root.find(key);
    return n ? n->mark : root.mark;
  }
};

/// A figure may say itself that it is a guess, whatever block it stands in.
Source source_of(const std::string& text, Source of_block) {
  return text.starts_with("assumed:") ? Source::assumed : of_block;
}

/// Finds figures in their order of trust and names the field when all are null.
class Chooser {
 public:
  explicit Chooser(const HardwareProfile& p) : p_(p) {}

  template <class T>
  struct Option {
    const Figure<T>& figure;
    Source source;
  };
  template <class T>
  T need(std::string_view field, std::initializer_list<Option<T>> options,
         Source* source = nullptr) const {
    for (const Option<T>& o : options)
      if (o.figure.known()) {
        if (source) *source = source_of(o.figure.source, o.source);
        return *o.figure.value;
      }
    throw UserError(
        fmt::format("{}: {} is null and every prediction needs it; give it a value with its "
                    "source, or measure it with `kvroof-probe ceilings --write`",
                    p_.file.empty() ? p_.id : p_.file, field));
  }

 private:
  const HardwareProfile& p_;
};

template <class T>
T or_zero(const Figure<T>& f) {
  return f.value.value_or(T{});
}

template <class Rate>
Roof<Rate> roof(const Figure<Rate>& peak, const Figure<Rate>& measured,
                std::optional<double> fitted, const Figure<double>& share, RoofKind kind) {
  Roof<Rate> r{.peak = or_zero(peak),
               .achieved = or_zero(peak),
               .source = source_of(peak.source, Source::datasheet)};
  if (kind == RoofKind::datasheet) return r;
  if (measured.known())
    return r.achieved = *measured.value, r.source = source_of(measured.source, Source::measured), r;
  if (fitted) return r.achieved = *fitted * r.peak, r.source = Source::fitted, r;
  if (share.known()) r.achieved = *share.value * r.peak, r.source = Source::assumed;
  return r;
}

/// fitted, field by field, then assumed; what neither knows is an error.
ClassFit class_fit(const HardwareProfile& p, std::string_view op_class, const OpFit& fitted,
                   const OpFit& assumed) {
  const bool is_fitted = fitted.compute || fitted.memory || fitted.ramp;
  const auto pick = [&](std::string_view field, const auto& a, const auto& b) {
    if (!a && !b)
      throw UserError(
          fmt::format("{}: fitted.{}.{} is null and nothing is assumed; give it here or "
                      "in assumed.fits.{}, with its source",
                      p.file.empty() ? p.id : p.file, op_class, field, op_class));
    return a ? *a : *b;
  };
  return {.compute = pick("compute", fitted.compute, assumed.compute),
          .memory = pick("memory", fitted.memory, assumed.memory),
          .ramp = pick("ramp", fitted.ramp, assumed.ramp),
          .spread = pick("spread", fitted.spread, assumed.spread),
          .source = is_fitted ? Source::fitted : Source::assumed};
}

Link link(const Figure<Bandwidth>& datasheet, const Figure<Bandwidth>& guess, const LinkFit& fit,
          const Assumed& assumed, int domain) {
  const auto published_figure = [](const auto& figure) {
    return figure.known() && source_of(figure.source, Source::fitted) == Source::fitted;
  };
  const bool published = published_figure(fit.efficiency) && published_figure(fit.latency);
  return {.bandwidth = datasheet.known() ? *datasheet.value : or_zero(guess),
          .efficiency = fit.efficiency.value.value_or(assumed.link_efficiency.value.value_or(1.0)),
          .latency = fit.latency.value.value_or(or_zero(assumed.link_latency)),
          .base = fit.base.value.value_or(or_zero(assumed.link_base)),
          .in_switch = fit.in_switch.value.value_or(false),
          .domain = domain,
          .source = published ? Source::fitted : Source::assumed};
}

/// The figure of one tensor path, in the datasheet or among the measured ones.
template <class Block>
const Figure<Throughput>& figure_of(const Block& block, MathType m) {
  switch (m) {
    case MathType::fp32:
      return block.fp32;
    case MathType::tf32:
      return block.tf32;
    case MathType::bf16:
      return block.bf16;
    case MathType::fp16:
      return block.fp16;
    case MathType::fp8:
      return block.fp8;
    case MathType::int8:
      return block.int8;
    case MathType::fp4:
      return block.fp4;
  }
  return block.bf16;
}

}  // namespace

HardwareProfile profile_from_node(const Node& root) {
  Errors errors;
  HardwareProfile p;
  ReadContext context{errors, p.given};
  read_fields(root, "", p, context);
  if (!p.schema.empty() && p.schema != "kvroof/hardware/v1")
    errors.add(root.find("schema")->mark, "schema",
               "expected kvroof/hardware/v1, got " + json_quote(p.schema));
  SourceCheck check{"", errors, root};
  fields(check, p);
  errors.throw_if_any();
  p.file = root.mark.source ? root.mark.source->name : "";
  return p;
}

HardwareProfile load_profile(const std::string& path) { return profile_from_node(load_yaml(path)); }

std::string print_profile(const HardwareProfile& profile) {
  return to_yaml(to_node(profile, NumberStyle::with_unit));
}

Machine to_machine(const HardwareProfile& p, RoofKind kind) {
  const Chooser choose(p);
  const Datasheet& d = p.datasheet;
  const Measured& m = p.measured;
  const Assumed& a = p.assumed;
  using S = Source;
  Machine out{.id = p.id,
              .architecture = std::string(
                  Words<Architecture>::names[static_cast<std::size_t>(p.architecture)])};
  out.num_sms =
      choose.need<int>("datasheet.num_sms", {{d.num_sms, S::datasheet}, {a.num_sms, S::assumed}});
  out.sm_clock = choose.need<Clock>("datasheet.tensor_clock",
                                    {{d.tensor_clock, S::datasheet}, {a.tensor_clock, S::assumed}});
  out.boost_clock = choose.need<Clock>(
      "datasheet.boost_clock", {{d.boost_clock, S::datasheet}, {a.boost_clock, S::assumed}});
  choose.need<Throughput>("datasheet.bf16", {{d.bf16, S::datasheet}});
  choose.need<Throughput>("datasheet.fp32", {{d.fp32, S::datasheet}});
  choose.need<Bandwidth>("datasheet.hbm_bandwidth", {{d.hbm_bandwidth, S::datasheet}});
  for (int i = 0; i < kNumMathTypes; ++i) {
    const auto t = static_cast<MathType>(i);
    out.tensor[static_cast<std::size_t>(i)] =
        roof(figure_of(d, t), figure_of(m, t), p.fitted.gemm.compute, a.tensor_share, kind);
  }
  out.fp32 = roof(d.fp32, m.fp32, std::nullopt, a.fp32_share, kind);
  out.hbm = roof(d.hbm_bandwidth, m.hbm_read, p.fitted.gemm.memory, a.hbm_share, kind);
  // No datasheet states L2 bandwidth: the measured rate is peak and ceiling at once.
  Source l2_source = Source::assumed;
  const Bandwidth l2 = choose.need<Bandwidth>(
      "measured.l2_read", {{m.l2_read, S::measured}, {a.l2_read, S::assumed}}, &l2_source);
  out.l2 = {l2, l2, l2_source};
  out.mma_sync_share = p.rates.mma_sync_share.value.value_or(1.0);
  const double exps = choose.need<double>(
      "rates.exp_per_sm_clock",
      {{p.rates.exp_per_sm_clock, S::datasheet}, {a.exp_per_sm_clock, S::assumed}});
  out.exps_per_second =
      m.exps_per_second.value.value_or(exps * out.num_sms * out.boost_clock.value);
  out.smem = m.smem.value.value_or(Bandwidth{p.rates.smem_bytes_per_sm_clock.value.value_or(128.0) *
                                             out.num_sms * out.sm_clock.value});
  const Bytes l2_size =
      choose.need<Bytes>("datasheet.l2", {{d.l2, S::datasheet}, {a.l2, S::assumed}});
  out.l2_effective =
      m.l2_effective.value.value_or(a.l2_effective_share.value.value_or(1.0) * l2_size);
  out.memory = choose.need<Bytes>(
      "datasheet.memory",
      {{m.memory, S::measured}, {d.memory, S::datasheet}, {a.memory, S::assumed}});

  const Fitted& f = p.fitted;
  const Fitted& g = a.fits;
  out.fit = {class_fit(p, "gemm", f.gemm, g.gemm),
             class_fit(p, "moe_gemm", f.moe_gemm, g.moe_gemm),
             class_fit(p, "prefill_attention", f.prefill_attention, g.prefill_attention),
             class_fit(p, "decode_attention", f.decode_attention, g.decode_attention),
             class_fit(p, "elementwise", f.elementwise, g.elementwise),
             class_fit(p, "collective", f.collective, g.collective)};
  const auto launch = [&](std::string_view field, const Figure<Seconds>& measured,
                          const Figure<Seconds>& published, const Figure<Seconds>& guess) {
    return choose.need<Seconds>(
        field, {{measured, S::measured}, {published, S::datasheet}, {guess, S::assumed}});
  };
  const Host& h = p.host;
  out.launch = {launch("host.launch_stream", m.launch_stream, h.launch_stream, a.launch_stream),
                launch("host.launch_graph_node", m.launch_graph_node, h.launch_graph_node,
                       a.launch_graph_node),
                launch("host.launch_graph", m.launch_graph, h.launch_graph, a.launch_graph)};
  out.nvlink = link(d.nvlink, a.nvlink, h.nvlink, a, d.nvlink_domain.value.value_or(1));
  out.nvlink.copied = or_zero(m.nvlink);
  out.pcie = link(d.pcie, a.pcie, h.pcie, a, 8);
  out.nic = link(d.nic, a.nic, h.nic, a, std::numeric_limits<int>::max());
  // Without NVLink the GPUs of a host talk over PCIe; `nvlink` is the link inside a node.
  if (out.nvlink.bandwidth <= Bandwidth{}) out.nvlink = out.pcie;
  out.power_watts = or_zero(d.power).value;
  out.gpu_hour_usd = or_zero(a.gpu_hour_usd);
  return out;
}

std::optional<PowerLaw> power_law(const HardwareProfile& profile) {
  const PowerFigures& p = profile.power;
  const auto all_known = [](const auto&... figures) { return (figures.known() && ...); };
  if (!all_known(p.held, p.idle, p.clocked, p.voltage_slope, p.fp32, p.hbm_read, p.hbm_write,
                 p.l2_read, p.multicast, p.smem, p.exponential))
    return std::nullopt;
  PowerLaw law{.held = *p.held.value, .idle = *p.idle.value, .clocked = *p.clocked.value};
  const auto tensor = [&](MathType m, const Figure<EnergyPerFlop>& figure) {
    law.tensor[static_cast<std::size_t>(m)] = or_zero(figure);
  };
  tensor(MathType::bf16, p.bf16), tensor(MathType::fp16, p.fp16), tensor(MathType::fp8, p.fp8);
  law.mma_sync = or_zero(p.bf16_mma_sync), law.fp32 = *p.fp32.value;
  law.hbm_read = *p.hbm_read.value, law.hbm_written = *p.hbm_write.value;
  law.l2 = *p.l2_read.value, law.multicast = *p.multicast.value, law.smem = *p.smem.value;
  law.exp = *p.exponential.value;
  law.slope = *p.voltage_slope.value;
  if (all_known(p.knee, p.droop)) law.knee = *p.knee.value, law.droop = *p.droop.value;
  return law;
}

void require_math(const HardwareProfile& p, MathType math) {
  if (figure_of(p.datasheet, math).known()) return;
  throw UserError(
      fmt::format("{}: datasheet.{} is null and this scenario needs it; give it a value with "
                  "its source, or 0 FLOP/s if the GPU has no such unit",
                  p.file.empty() ? p.id : p.file, name(math)));
}

}  // namespace kvroof
