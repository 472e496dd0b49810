// The clock at which an SM's counted cycles run.
#pragma once
#include "model/machine.hpp"
#include "model/op.hpp"

namespace kvroof {

/// What ran before: kernels like this one, or nothing that draws power.
enum class Before { load, rest };

/// Tensor cores draw the most power: the busier they are, the lower the clock that is left. Without
/// work for them it is the boost clock; never idle, beside a softmax, 0.96 of the clock at which
/// the measured tensor roof ran; in between as their share.
/// Two things pull it down: an SM's own products, at once, through the voltage of its GPC; and the
/// power of all SMs together, which fades where c blocks leave some of S SMs without work, and
/// which is limited only after a while:
///   clock = boost - tensor_busy·(boost - busy)·(0.65 + 0.35·min(1, c / S)·limited)
///   limited = 1 under load; after rest it rises from 0 to 1 between 40 and 160 thousand cycles
/// 0.96 is fitted on flash_v3 with s 512, 2048 and 8192 on an H200 (clocks of 1.78, 1.67 and
/// 1.62 GHz at 64, 85 and 100 % of the steps), judged on its other lengths, FP8, flash_v4 and the
/// ladder; 0.65 on mla_decode_tma with 16 requests of 512 tokens and 16 heads: 16 SMs at 1.80 GHz,
/// their sm__cycles_active over their time; the rise on 64 requests of 128 heads: 1.80, 1.77, 1.73
/// GHz over launches of 24, 37 and 63 us.
Clock clock_under(const Op& op, const Machine& m, Before before = Before::load);

/// Cycles that a launch of tensor work after rest loses because the limit overshoots: the clock
/// dips to 1.5 GHz some 60 us after the start and has recovered after 120. From 100 to 160 thousand
/// cycles 0 rises to 8000: what 128-wide heads of flash_v3 with s 512 lost against long launches,
/// in between what d 64 (15 thousand) and d 256 (5 thousand) did.
double overshoot_cycles(const Op& op);

}  // namespace kvroof
