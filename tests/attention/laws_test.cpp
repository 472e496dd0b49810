// What must hold for every shape, whatever the numbers: a few hundred random ones each.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "model/attention/block_sparse.hpp"
#include "model/attention/cascade.hpp"
#include "model/attention/flash_decoding.hpp"
#include "model/attention/flash_v1.hpp"
#include "model/attention/flash_v2.hpp"
#include "model/attention/flash_v3.hpp"
#include "model/attention/flash_v4.hpp"
#include "model/attention/gqa_decode.hpp"
#include "model/attention/mla_decode.hpp"
#include "model/attention/naive.hpp"
#include "model/attention/paged_decode.hpp"
#include "model/attention/quantised_kv.hpp"
#include "model/attention/sliding_window.hpp"
#include "tests/attention/random_shapes.hpp"

using namespace kvroof;
using namespace kvroof::attention;

namespace {

constexpr int kShapes = 300;
constexpr Formats kFormats[] = {
    {},
    {.act = Dtype::bf16, .kv = Dtype::fp8},
    {.act = Dtype::bf16, .kv = Dtype::int8_per_token},
    {.act = Dtype::bf16, .kv = Dtype::nvfp4},
    {.act = Dtype::fp8, .kv = Dtype::fp8, .math = MathType::fp8},
};
constexpr OnChip kChips[] = {{}, {.num_sms = 108, .l2_effective = Bytes{29e6}}};

std::string describe(const AttentionShape& x) {
  std::string text;
  const std::pair<const char*, double> fields[] = {
      {"b", x.b},       {"s_q", x.s_q},   {"s_kv", x.s_kv},     {"h_q", x.h_q},
      {"h_kv", x.h_kv}, {"d_qk", x.d_qk}, {"causal", x.causal}, {"window", x.window}};
  for (const auto& [name, value] : fields) text += name + (" " + std::to_string(value)) + "  ";
  return text;
}

bool sane(const Work& w) {
  for (const double v :
       {w.flops.value, w.flops_executed.value, w.read.weights.value, w.read.kv.value,
        w.read.activations.value, w.written.kv.value, w.written.activations.value, w.reread.value,
        w.l2_to_sm.value, w.exps, w.fp32.value, w.smem.value})
    if (!std::isfinite(v) || v < 0) return false;
  return w.ctas >= 1 && w.launches >= 1;
}

AttentionShape latent(AttentionShape x) {
  x.h_kv = 1, x.d_qk = 576, x.d_v = 512;
  return x;
}

}  // namespace

TEST_CASE(
    "law: everything is finite and not negative; executed >= paper FLOPs; L2 serves what HBM "
    "reads") {
  RandomShapes random(2);
  for (int i = 0; i < kShapes; ++i)
    for (const Variant& v : variants()) {
      AttentionShape x = v.phase == Phase::decode ? random.decode() : random.prefill();
      if (v.name == "mla_decode") x = latent(x);
      if (random.below(3) == 0) x.window = random.length(14);
      Options o{.sparsity = random.below(2) ? 1 : 0.3, .shared_prefix = random.length(12)};
      if (random.below(4) == 0) o.sinks = 4;
      const Formats& f = kFormats[random.below(5)];
      const Cost c = v.cost(x, f, kChips[random.below(2)], o);
      INFO(describe(x));
      CAPTURE(v.name);
      CHECK(sane(c.work));
      const bool no_tensor_cores = v.name == "linear" && x.s_q == 1;
      if (!no_tensor_cores) CHECK(c.work.flops_executed >= c.work.flops * (1 - 1e-12));
      CHECK(c.handed_over <= c.work.hbm() * (1 + 1e-12));
      CHECK(c.execution.ctas_per_sm >= 1);
    }
}

TEST_CASE("law: Flash never moves more HBM bytes than naive, re-reads included") {
  // A peer counted the score matrix as Flash's output and found the opposite.
  RandomShapes random(3);
  for (int i = 0; i < kShapes; ++i) {
    const AttentionShape x = random.prefill();
    const Formats& f = kFormats[random.below(5)];
    const OnChip& chip = kChips[random.below(2)];
    const Bytes most = naive(x, f, chip, {}).work.hbm();
    INFO(describe(x));
    for (auto* flash : {flash_v2, flash_v3, flash_v4}) {
      const Work w = flash(x, f, chip, {}).work;
      CHECK(w.hbm() + w.reread <= most);
    }
    // FlashAttention-1 only where its theorem applies: N >= 4d and 3·d² under M
    if (x.d_qk <= 128 && x.s_q >= 4 * x.d_qk) CHECK(flash_v1(x, f, chip, {}).work.hbm() <= most);
  }
}

TEST_CASE("law: K/V bytes are proportional to h_kv and blind to h_q") {
  RandomShapes random(4);
  for (int i = 0; i < kShapes; ++i) {
    AttentionShape x = random.decode(), prompt = random.prefill();
    INFO(describe(x));
    const auto bytes = [&] { return gqa_decode(x, {}, {}, {}).work.read.kv.value; };
    const auto prompt_bytes = [&] { return flash_v2(prompt, {}, {}, {}).work.read.kv.value; };
    const double before = bytes(), prompt_before = prompt_bytes();
    x.h_q *= 2, prompt.h_q *= 2;
    CHECK(bytes() == before);
    CHECK(prompt_bytes() == prompt_before);
    x.h_kv *= 2, prompt.h_kv *= 2;
    CHECK(bytes() == 2 * before);
    CHECK(prompt_bytes() == 2 * prompt_before);
  }
}

TEST_CASE("law: h_kv = h_q is MHA at 1 flop per cache byte, whatever the shape") {
  RandomShapes random(5);
  for (int i = 0; i < kShapes; ++i) {
    AttentionShape x = random.decode();
    x.h_kv = x.h_q, x.s_q = 1;
    INFO(describe(x));
    const Work packed = gqa_decode(x, {}, {}, {}).work;
    CHECK(packed.flops / packed.read.kv == Intensity{1});
    CHECK(gqa_decode(x, {}, {}, {.packed_group = false}).work == packed);
    CHECK(x.group() == 1);
  }
}

TEST_CASE("law: counts never fall when a size grows") {
  RandomShapes random(6);
  const Options fixed{.tile = Tile{.m = 64, .n = 64}, .splits = 4};
  // Re-reads only within a window: else they depend on where the waves of equal blocks end.
  const auto grows = [](const Work& small, const Work& large, bool masked) {
    const double slack = 1 - 1e-12;
    return large.flops.value >= small.flops.value * slack &&
           large.flops_executed.value >= small.flops_executed.value * slack &&
           large.hbm().value >= small.hbm().value * slack &&
           large.l2_to_sm.value >= small.l2_to_sm.value * slack &&
           (!masked || large.reread.value >= small.reread.value * slack) &&
           large.exps >= small.exps * slack && large.smem.value >= small.smem.value * slack;
  };
  double AttentionShape::*const sizes[] = {&AttentionShape::b,    &AttentionShape::s_kv,
                                           &AttentionShape::h_kv, &AttentionShape::d_qk,
                                           &AttentionShape::d_v,  &AttentionShape::s_q};
  for (int i = 0; i < kShapes; ++i)
    for (const char* name :
         {"naive", "flash_v1", "flash_v2", "flash_v4", "gqa_decode", "flash_decoding",
          "paged_decode", "quantised_kv", "block_sparse", "ragged"}) {
      const Variant& v = *find_variant(name);
      const AttentionShape x = v.phase == Phase::decode ? random.decode() : random.prefill();
      INFO(describe(x));
      CAPTURE(name);
      const Work before = v.cost(x, {}, {}, fixed).work;
      // nor of ragged calls: more row tiles of one stream mean fewer streams at work
      const bool masked = x.window > 0 && v.name != "ragged";
      for (const auto size : sizes) {
        AttentionShape y = x;
        y.*size *= 2;
        if (size == &AttentionShape::h_kv) y.h_q *= 2;      // the group stays
        if (size == &AttentionShape::s_q) y.s_kv += x.s_q;  // the new tokens come on top
        CHECK(grows(before, v.cost(y, {}, {}, fixed).work, masked));
      }
      AttentionShape more_heads = x;
      more_heads.h_q *= 2;
      CHECK(grows(before, v.cost(more_heads, {}, {}, fixed).work, masked));
    }
}

TEST_CASE("law: variants meet where their options vanish") {
  RandomShapes random(7);
  for (int i = 0; i < kShapes; ++i) {
    const AttentionShape x = random.decode();
    const Formats& f = kFormats[random.below(5)];
    INFO(describe(x));
    const Work plain = gqa_decode(x, f, {}, {}).work;
    CHECK(flash_decoding(x, f, {}, {.splits = 1}).work == plain);
    const Work split = flash_decoding(x, f, {}, {}).work;
    CHECK(cascade(x, f, {}, {}).work == split);
    CHECK(quantised_kv(x, f, {}, {}).work == split);
    CHECK(split.read.kv == plain.read.kv);
    CHECK(split.flops_executed == plain.flops_executed);
    CHECK(split.hbm() >= plain.hbm());

    AttentionShape wide = x;
    wide.window = x.s_kv + x.s_q;
    CHECK(flash_decoding(wide, f, {}, {}).work == split);

    AttentionShape prompt = random.prefill();
    CHECK(block_sparse(prompt, f, {}, {.sparsity = 1}).work == flash_v2(prompt, f, {}, {}).work);
    prompt.causal = true;
    wide = prompt;
    wide.window = prompt.s_kv;
    CHECK(sliding_window(wide, f, {}, {}).work == sliding_window(prompt, f, {}, {}).work);
  }
}

TEST_CASE("law: a shared prefix never costs more cache bytes, and saves (b - 1)·prefix of them") {
  RandomShapes random(8);
  for (int i = 0; i < kShapes; ++i) {
    const AttentionShape x = random.decode();
    const double prefix = std::min(random.length(16), x.s_kv - x.s_q);
    INFO(describe(x));
    const Work plain = flash_decoding(x, {}, {}, {}).work;
    const Work shared = cascade(x, {}, {}, {.shared_prefix = prefix}).work;
    CHECK((plain.read.kv - shared.read.kv).value ==
          (x.b - 1) * prefix * x.h_kv * (x.d_qk + x.d_v) * 2);
    CHECK(shared.flops == plain.flops);
  }
}

TEST_CASE("law: every page size moves the same K/V; small pages only add table entries") {
  RandomShapes random(9);
  for (int i = 0; i < kShapes; ++i) {
    const AttentionShape x = random.decode();
    INFO(describe(x));
    const Work flat = flash_decoding(x, {}, {}, {}).work;
    for (const double block : {8., 16., 128., 256.}) {
      const Work paged = paged_decode(x, {}, {}, {.block_size = block}).work;
      CHECK((paged.read.kv - flat.read.kv).value == 4 * x.b * std::ceil(x.s_kv / block));
      CHECK(wasted_slots(x.s_kv, block) >= 0);
      CHECK(wasted_slots(x.s_kv, block) < block);
    }
  }
}

TEST_CASE("law: causal work lies between half and all of the square, and halves for long prompts") {
  RandomShapes random(10);
  for (int i = 0; i < kShapes; ++i) {
    AttentionShape x = random.prefill();
    x.causal = false;
    INFO(describe(x));
    const Work full = flash_v2(x, {}, {}, {}).work;
    x.causal = true;
    const Work causal = flash_v2(x, {}, {}, {}).work;
    CHECK(causal.flops_executed <= full.flops_executed);
    CHECK(2 * causal.flops_executed >= full.flops_executed);
    CHECK(causal.hbm() == full.hbm());
    if (x.s_q == x.s_kv) CHECK(causal.flops / full.flops == 0.5);
  }
}
