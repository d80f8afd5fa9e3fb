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

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "foundation/codecs/tile_encoder-inl.h"
#include "foundation/tensor/float16.h"

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

/// The nearest finite half of every lane, as float and as bits. Values other than 0 keep at least the
/// smallest half, so that a block of tiny weights is not lost to an underflowing scale.
struct HalfLanes {
  alignas(64) float value[kLanes];
  std::uint16_t bits[kLanes];

  void replace(hn::Mask<LaneTag> where, const HalfLanes& other) {
    alignas(64) float chosen[kLanes];
    hn::Store(hn::IfThenElseZero(where, hn::Set(LaneTag(), 1.0f)), LaneTag(), chosen);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      if (chosen[lane] == 0.0f) continue;
      value[lane] = other.value[lane];
      bits[lane] = other.bits[lane];
    }
  }
};

inline void round_to_half(LaneVector exact, HalfLanes& half) {
  constexpr float kLargestHalf = 65504.0f, kSmallestHalf = 0x1p-24f;
  hn::Store(exact, LaneTag(), half.value);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const float wanted = half.value[lane];
    const float magnitude = std::clamp(std::abs(wanted), kSmallestHalf, kLargestHalf);
    half.bits[lane] = half_from_float(wanted == 0.0f ? 0.0f : std::copysign(magnitude, wanted));
    half.value[lane] = float_from_half(half.bits[lane]);
  }
}

/// Scales the importance of a block of columns to a maximum of 1. A floor far below the mean keeps the sums
/// of a sub-block without any importance regular; a block without any counts all columns the same.
inline void normalize_importance(const float* HWY_RESTRICT importance, std::size_t count,
                                 float* HWY_RESTRICT normalized) {
  constexpr float kFloor = 1e-5f;
  const float largest = *std::max_element(importance, importance + count);
  for (std::size_t i = 0; i < count; ++i) {
    normalized[i] = largest > 0.0f ? std::max(importance[i] / largest, kFloor) : 1.0f;
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
