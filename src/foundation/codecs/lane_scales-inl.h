// The scales of a tile in the one form that error feedback changes them in, whatever the format:
//
//   y = unit * multiple[s] * v - minimum_unit * minimum[s]
//
// for a weight of sub-block s whose code stands for v. Every format says which of the four are free, and
// which values they can take:
//
//   struct Format {
//     static constexpr std::size_t kSubBlocks;            // of a block, equally wide
//     static constexpr ScaleFreedom kFreedom;
//     static LaneVector nearest_unit_to(LaneVector);      // of each kind that is free: the nearest value
//     static LaneVector nearest_multiple_to(LaneVector);  // that can be stored
//     static LaneVector nearest_minimum_unit_to(LaneVector);
//     static LaneVector nearest_minimum_to(LaneVector);
//     static void get_scales(const Scales&, LaneScales<kSubBlocks>&);  // as they will be decoded
//     // The same back; `round` then rounds under the stored scales.
//     static void set_scales(const LaneScales<kSubBlocks>&, Scales&);
//     static void values(const Scales&, std::size_t group, const std::int32_t* code /*[kLanes]*/,
//                        float* v /*[kGroupWeights][kLanes]*/);
//   };
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_LANE_SCALES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_LANE_SCALES_INL_H_
#undef TESSERA_CODECS_LANE_SCALES_INL_H_
#else
#define TESSERA_CODECS_LANE_SCALES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "foundation/codecs/half-inl.h"
#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct ScaleFreedom {
  bool unit = false, multiples = false, minimum_unit = false, minima = false;
};

/// What is not free is 1, or 0 where the format has no minima.
template <std::size_t kSubBlocks>
struct LaneScales {
  alignas(64) float unit[kLanes];
  alignas(64) float multiple[kSubBlocks * kLanes];
  alignas(64) float minimum_unit[kLanes];
  alignas(64) float minimum[kSubBlocks * kLanes];

  LaneVector scale(std::size_t s) const {
    const LaneTag tag;
    return hn::Mul(hn::Load(tag, unit), hn::Load(tag, multiple + s * kLanes));
  }
  LaneVector offset(std::size_t s) const {
    const LaneTag tag;
    return hn::Mul(hn::Load(tag, minimum_unit), hn::Load(tag, minimum + s * kLanes));
  }
  /// All multiples 1, no minima: the start of the simpler formats.
  void reset() {
    const LaneTag tag;
    hn::Store(hn::Set(tag, 1.0f), tag, unit);
    hn::Store(hn::Zero(tag), tag, minimum_unit);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      hn::Store(hn::Set(tag, 1.0f), tag, multiple + s * kLanes);
      hn::Store(hn::Zero(tag), tag, minimum + s * kLanes);
    }
  }
};

/// Scales that a format keeps as its unit, its multiples where it has them ([kSubBlocks][kLanes]) and the
/// inverses of their products: how they get into the common form, and back.
template <std::size_t kSubBlocks>
void get_units(const float* unit, const float* multiples, LaneScales<kSubBlocks>& result) {
  result.reset();
  std::copy_n(unit, kLanes, result.unit);
  if (multiples != nullptr) std::copy_n(multiples, kSubBlocks * kLanes, result.multiple);
}
template <std::size_t kSubBlocks>
void set_units(const LaneScales<kSubBlocks>& from, float* unit, float* multiples, float* inverses) {
  std::copy_n(from.unit, kLanes, unit);
  if (multiples != nullptr) std::copy_n(from.multiple, kSubBlocks * kLanes, multiples);
  for (std::size_t s = 0; s < kSubBlocks; ++s) {
    hn::Store(inverse_or_zero(from.scale(s)), LaneTag(), inverses + s * kLanes);
  }
}

/// The base of formats whose blocks have one scale, Scales::scale, and maybe its inverse.
struct OneScale {
  static constexpr std::size_t kSubBlocks = 1;
  static constexpr ScaleFreedom kFreedom{.unit = true};
  template <class Scales>
  static void get_scales(const Scales& scales, LaneScales<1>& result) {
    get_units<1>(scales.scale, nullptr, result);
  }
  template <class Scales>
  static void set_scales(const LaneScales<1>& from, Scales& scales) {
    if constexpr (requires { scales.inverse; }) {
      set_units(from, scales.scale, nullptr, scales.inverse);
    } else {
      std::copy_n(from.unit, kLanes, scales.scale);
    }
  }
};

/// v = code + low, where codes count up from the lowest level.
HWY_INLINE void integer_values(const std::int32_t* code, float low, float* v) {
  const LaneTag tag;
  hn::Store(hn::Add(hn::ConvertTo(tag, hn::Load(LaneIntTag(), code)), hn::Set(tag, low)), tag, v);
}

/// The nearest half, of the same sign as a unit that scales: 0 and less become the smallest.
HWY_INLINE LaneVector nearest_positive_half(LaneVector exact) {
  const LaneTag tag;
  return round_to_half(tag, hn::Max(exact, hn::Set(tag, kSmallestHalf)));
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
