// The clock at which an SM's counted cycles run.
#pragma once
#include "model/machine.hpp"
#include "model/op.hpp"

namespace kvroof {

/// Tensor cores draw the most power: the busier they are, the lower the clock that is left. Without
/// work for them it is the boost clock; never idle, beside a softmax, 0.96 of the clock at which
/// the measured tensor roof ran; in between as their share.
/// Two things pull it down: an SM's own products, through the voltage of its GPC, and the power of
/// all SMs together; where c blocks leave some of S SMs without work only the second part fades:
///   clock = boost - tensor_busy·(boost - busy)·(0.65 + 0.35·min(1, c / S))
/// 0.96 is fitted on flash_v3 with s 512, 2048 and 8192 on an H200 (clocks of 1.78, 1.67 and
/// 1.62 GHz at 64, 85 and 100 % of the steps), judged on its other lengths, FP8, flash_v4 and the
/// ladder; 0.65 on mla_decode_tma with 16 requests of 512 tokens and 16 heads: 16 SMs at 1.80 GHz,
/// their sm__cycles_active over their time.
Clock clock_under(const Op& op, const Machine& m);

}  // namespace kvroof
