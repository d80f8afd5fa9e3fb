// Small pieces of lane-wise arithmetic that the fits of several formats share.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_LANE_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_LANE_MATH_INL_H_
#undef TESSERA_CODECS_LANE_MATH_INL_H_
#else
#define TESSERA_CODECS_LANE_MATH_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "foundation/codecs/half-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// Weights beyond this magnitude saturate in every format with a half scale; clamping them here keeps sums of
/// squares finite in float32.
inline constexpr float kLargestUsefulWeight = 0x1p30f;

/// numerator / denominator, and 0 in lanes whose denominator is not positive (an empty sum).
HWY_INLINE LaneVector divide_or_zero(LaneVector numerator, LaneVector denominator) {
  const LaneTag tag;
  const auto positive = hn::Gt(denominator, hn::Zero(tag));
  return hn::IfThenElseZero(positive,
                            hn::Div(numerator, hn::IfThenElse(positive, denominator, hn::Set(tag, 1.0f))));
}

/// 1 / value, and 0 in lanes where the value is zero or its inverse is not finite: a scale that decodes all
/// codes to 0.
HWY_INLINE LaneVector inverse_or_zero(LaneVector value) {
  const LaneTag tag;
  const auto usable = hn::Ge(hn::Abs(value), hn::Set(tag, 0x1p-100f));
  return hn::IfThenElseZero(usable,
                            hn::Div(hn::Set(tag, 1.0f), hn::IfThenElse(usable, value, hn::Set(tag, 1.0f))));
}

HWY_INLINE LaneVector round_and_clamp(LaneVector value, float low, float high) {
  const LaneTag tag;
  return hn::Min(hn::Max(hn::Round(value), hn::Set(tag, low)), hn::Set(tag, high));
}

/// The nearest finite half of every lane; values other than 0 keep at least the smallest half, so that a
/// block of tiny weights is not lost to an underflowing scale.
HWY_INLINE LaneVector nearest_unit(LaneVector exact) {
  const LaneTag tag;
  const auto magnitude = hn::Max(hn::Abs(exact), hn::Set(tag, kSmallestHalf));
  return hn::IfThenZeroElse(hn::Eq(exact, hn::Zero(tag)), round_to_half(tag, hn::CopySign(magnitude, exact)));
}

/// Stores integers that are held as floats, less `low`, for packing.
HWY_INLINE void store_integers(LaneVector integers, float low, std::int32_t* stored) {
  const LaneIntTag tag;
  hn::Store(hn::ConvertTo(tag, hn::Sub(integers, hn::Set(LaneTag(), low))), tag, stored);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
