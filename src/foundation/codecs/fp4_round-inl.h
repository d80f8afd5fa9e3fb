// Rounding to the nearest FP4 level (E2M1: one explicit mantissa bit), one row per lane, and the error it
// leaves.
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_FP4_ROUND_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_FP4_ROUND_INL_H_
#undef TESSERA_CODECS_FP4_ROUND_INL_H_
#else
#define TESSERA_CODECS_FP4_ROUND_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

#include "foundation/codecs/fp4_levels.h"
#include "foundation/codecs/lane_range-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The magnitude of the level nearest to t: one of 0, 1, 2, 3, 4, 6, 8, 12.
HWY_INLINE LaneVector nearest_fp4_magnitude(LaneVector t) {
  const LaneTag df;
  const LaneIntTag di;
  const auto magnitude = hn::Min(hn::Abs(t), hn::Set(df, kFp4LargestLevel));
  // Levels are 1 apart below 4, 2 apart below 8 and 4 above: half the power of two below, at least 1. Adding
  // a number whose last bit is worth one such step rounds to it.
  const auto octave = hn::BitCast(
      df, hn::And(hn::BitCast(di, hn::Max(magnitude, hn::Set(df, 2.0f))), hn::Set(di, 0x7F800000)));
  const auto shift = hn::Mul(octave, hn::Set(df, 0x1p22f));
  return hn::Sub(hn::Add(magnitude, shift), shift);
}

/// The code of the level nearest to t.
HWY_INLINE LaneIntVector nearest_fp4_code(LaneVector t) {
  const LaneTag df;
  const LaneIntTag di;
  const auto level = nearest_fp4_magnitude(t);
  // From 2 on, the exponent and the top mantissa bit count the levels: 2 has 256, 3 has 257, ... 12 has 261.
  const auto counted = hn::Sub(hn::ShiftRight<22>(hn::BitCast(di, level)), hn::Set(di, 254));
  const auto is_small = hn::RebindMask(di, hn::Lt(level, hn::Set(df, 2.0f)));
  const auto index = hn::IfThenElse(is_small, hn::ConvertTo(di, level), counted);
  const auto is_negative = hn::And(hn::Lt(t, hn::Zero(df)), hn::Gt(level, hn::Zero(df)));
  return hn::Add(index, hn::IfThenElseZero(hn::RebindMask(di, is_negative), hn::Set(di, 8)));
}

/// The levels that codes stand for.
HWY_INLINE void fp4_values(const std::int32_t* code, float* v) {
  hn::Store(hn::GatherIndex(LaneTag(), kFp4Levels.data(), hn::Load(LaneIntTag(), code)), LaneTag(), v);
}

/// sum_i w_i (x_i / s - nearest level)^2, in units of s^2, over [count][kLanes] weights.
HWY_INLINE LaneVector fp4_error(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x,
                                std::size_t count, LaneVector inverse_scale) {
  const LaneTag df;
  auto error = hn::Zero(df);
  for (std::size_t i = 0; i < count; ++i) {
    const auto t = hn::Abs(hn::Mul(hn::Load(df, x + i * kLanes), inverse_scale));
    const auto off = hn::Sub(t, nearest_fp4_magnitude(t));
    error = hn::MulAdd(hn::Mul(off, off), hn::Set(df, weights[i]), error);
  }
  return error;
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
