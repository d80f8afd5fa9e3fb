// Affine super-blocks as formats of the tile encoder: everything but the layout of the bytes.
//
// Codes are rounded under the scales of the fit, before the gain correction that the stored d and dmin carry.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_AFFINE_SUPER_BLOCK_FORMAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_AFFINE_SUPER_BLOCK_FORMAT_INL_H_
#undef TESSERA_CODECS_AFFINE_SUPER_BLOCK_FORMAT_INL_H_
#else
#define TESSERA_CODECS_AFFINE_SUPER_BLOCK_FORMAT_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "foundation/codecs/affine_super_block-inl.h"
#include "foundation/codecs/lane_scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The base of a format; Spec as in affine_super_block-inl.h.
template <class Spec>
struct AffineSuperBlockFormat {
  static constexpr std::size_t kSubBlocks = Spec::kSubBlocks;
  static constexpr std::size_t kBlockWeights = kSubBlocks * Spec::kSubBlockWeights;
  static constexpr std::size_t kGroupWeights = 1;

  struct Columns {
    float importance[kBlockWeights];
    float importance_sum[kSubBlocks];
  };

  struct Scales {
    alignas(64) float d[kLanes], dmin[kLanes];  ///< stored: halves, with the gain correction
    alignas(
        64) float inverse[kSubBlocks][kLanes];  ///< 1 / (d * sc) before the correction, 0 where d * sc is 0
    alignas(64) float minimum[kSubBlocks][kLanes];               ///< dmin * mn before the correction
    alignas(64) std::int32_t scale_code[kSubBlocks * kLanes];    ///< sc
    alignas(64) std::int32_t minimum_code[kSubBlocks * kLanes];  ///< mn
  };

  static void prepare(const float* importance, Columns& columns) {
    std::copy_n(importance, kBlockWeights, columns.importance);
    for (std::size_t i = 0; i < kBlockWeights; ++i) {
      float& sum = columns.importance_sum[i / Spec::kSubBlockWeights];
      sum = (i % Spec::kSubBlockWeights == 0 ? 0.0f : sum) + columns.importance[i];
    }
  }

  static void fit(const Columns& columns, const float* x, Scales& scales) {
    const LaneTag tag;
    AffineSuperBlockFit<Spec> super_block(x, columns.importance, columns.importance_sum);
    const auto integers = super_block.run();
    const auto gain = super_block.gain(integers);
    hn::Store(nearest_unit(hn::Mul(integers.d, gain)), tag, scales.d);
    hn::Store(nearest_unit(hn::Mul(integers.dmin, gain)), tag, scales.dmin);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      hn::Store(inverse_or_zero(hn::Mul(integers.d, integers.scale[s])), tag, scales.inverse[s]);
      hn::Store(hn::Mul(integers.dmin, integers.minimum[s]), tag, scales.minimum[s]);
      store_integers(integers.scale[s], 0.0f, scales.scale_code + s * kLanes);
      store_integers(integers.minimum[s], 0.0f, scales.minimum_code + s * kLanes);
    }
  }

  static void round(const Columns&, const Scales& scales, std::size_t group, const float* x,
                    std::int32_t* code) {
    const LaneTag tag;
    const std::size_t s = group / Spec::kSubBlockWeights;
    const auto above_minimum = hn::Add(hn::Load(tag, x), hn::Load(tag, scales.minimum[s]));
    const auto q =
        round_and_clamp(hn::Mul(above_minimum, hn::Load(tag, scales.inverse[s])), 0.0f, Spec::kMaxCode);
    store_integers(q, 0.0f, code);
  }

  static constexpr ScaleFreedom kFreedom{
      .unit = true, .multiples = true, .minimum_unit = true, .minima = true};
  static LaneVector nearest_unit_to(LaneVector exact) { return nearest_positive_half(exact); }
  static LaneVector nearest_minimum_unit_to(LaneVector exact) { return nearest_positive_half(exact); }
  static LaneVector nearest_multiple_to(LaneVector exact) {
    return round_and_clamp(exact, 0.0f, Spec::kMaxScale);
  }
  static LaneVector nearest_minimum_to(LaneVector exact) {
    return round_and_clamp(exact, 0.0f, Spec::kMaxScale);
  }
  static void get_scales(const Scales& scales, LaneScales<kSubBlocks>& result) {
    const LaneTag tag;
    hn::Store(hn::Load(tag, scales.d), tag, result.unit);
    hn::Store(hn::Load(tag, scales.dmin), tag, result.minimum_unit);
    for (std::size_t i = 0; i < kSubBlocks * kLanes; i += kLanes) {
      hn::Store(hn::ConvertTo(tag, hn::Load(LaneIntTag(), scales.scale_code + i)), tag, result.multiple + i);
      hn::Store(hn::ConvertTo(tag, hn::Load(LaneIntTag(), scales.minimum_code + i)), tag, result.minimum + i);
    }
  }
  static void set_scales(const LaneScales<kSubBlocks>& from, Scales& scales) {
    const LaneTag tag;
    hn::Store(hn::Load(tag, from.unit), tag, scales.d);
    hn::Store(hn::Load(tag, from.minimum_unit), tag, scales.dmin);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      hn::Store(inverse_or_zero(from.scale(s)), tag, scales.inverse[s]);
      hn::Store(from.offset(s), tag, scales.minimum[s]);
      store_integers(hn::Load(tag, from.multiple + s * kLanes), 0.0f, scales.scale_code + s * kLanes);
      store_integers(hn::Load(tag, from.minimum + s * kLanes), 0.0f, scales.minimum_code + s * kLanes);
    }
  }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) {
    integer_values(code, 0.0f, v);
  }
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
