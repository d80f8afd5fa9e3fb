// Keeping lanes in range: scaling a block by a power of two, small lookups.
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_LANE_RANGE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_LANE_RANGE_INL_H_
#undef TESSERA_CODECS_LANE_RANGE_INL_H_
#else
#define TESSERA_CODECS_LANE_RANGE_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The power of two at or below a magnitude, between 2^-126 and 2^126, and its exact reciprocal. Dividing a
/// block by it brings squares of any finite weights into float's range without rounding them.
struct PowerOfTwo {
  LaneVector value;
  LaneVector reciprocal;
};

HWY_INLINE PowerOfTwo power_of_two_below(LaneVector magnitude) {
  const LaneTag df;
  const LaneIntTag di;
  const auto exponent = hn::And(hn::BitCast(di, magnitude), hn::Set(di, 0x7F800000));
  const auto bits = hn::Min(hn::Max(exponent, hn::Set(di, 0x00800000)), hn::Set(di, 0x7E800000));
  return {hn::BitCast(df, bits), hn::BitCast(df, hn::Sub(hn::Set(di, 0x7F000000), bits))};
}

/// The largest |x| of each lane over [count][kLanes].
HWY_INLINE LaneVector largest_magnitude(const float* HWY_RESTRICT x, std::size_t count) {
  const LaneTag df;
  auto largest = hn::Zero(df);
  for (std::size_t i = 0; i < count; ++i) largest = hn::Max(largest, hn::Abs(hn::Load(df, x + i * kLanes)));
  return largest;
}

/// scaled[i] = x[i] * factor over [count][kLanes].
HWY_INLINE void scale_lanes(const float* HWY_RESTRICT x, std::size_t count, LaneVector factor,
                            float* HWY_RESTRICT scaled) {
  const LaneTag df;
  for (std::size_t i = 0; i < count; ++i) {
    hn::Store(hn::Mul(hn::Load(df, x + i * kLanes), factor), df, scaled + i * kLanes);
  }
}

/// table[index] for indices 0..7. The table holds its 8 entries twice, so that a full register can be loaded.
HWY_INLINE LaneVector lookup_8(const float* HWY_RESTRICT table /*[16], 64-byte aligned*/,
                               LaneIntVector index) {
  const LaneTag df;
  if constexpr (kLanes >= 8) {
    return hn::TableLookupLanes(hn::Load(df, table), hn::IndicesFromVec(df, index));
  } else {
    return hn::GatherIndex(df, table, index);
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
