// Signed super-blocks as formats of the tile encoder: everything but the layout of the bytes.
//
// Codes are rounded under the scales of the fit, before the gain correction that the stored d carries.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_SIGNED_SUPER_BLOCK_FORMAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_SIGNED_SUPER_BLOCK_FORMAT_INL_H_
#undef TESSERA_CODECS_SIGNED_SUPER_BLOCK_FORMAT_INL_H_
#else
#define TESSERA_CODECS_SIGNED_SUPER_BLOCK_FORMAT_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "foundation/codecs/lane_scales-inl.h"
#include "foundation/codecs/signed_super_block-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The base of a format; Spec as in signed_super_block-inl.h. Codes are q - kMinCode.
template <class Spec>
struct SignedSuperBlockFormat {
  static constexpr std::size_t kSubBlocks = Spec::kSubBlocks;
  static constexpr std::size_t kBlockWeights = kSubBlocks * Spec::kSubBlockWeights;
  static constexpr std::size_t kGroupWeights = 1;

  struct Columns {
    float importance[kBlockWeights];
  };

  struct Scales {
    alignas(64) float d[kLanes];  ///< stored: halves, with the gain correction
    alignas(
        64) float inverse[kSubBlocks][kLanes];  ///< 1 / (d * sc) before the correction, 0 where d * sc is 0
    alignas(64) std::int32_t scale_code[kSubBlocks * kLanes];  ///< sc - kMinScale
  };

  static void prepare(const float* importance, Columns& columns) {
    std::copy_n(importance, kBlockWeights, columns.importance);
  }

  static void fit(const Columns& columns, const float* x, Scales& scales) {
    const LaneTag tag;
    SignedSuperBlockFit<Spec> super_block(x, columns.importance);
    const auto integers = super_block.run();
    hn::Store(nearest_unit(hn::Mul(integers.d, super_block.gain(integers))), tag, scales.d);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      hn::Store(inverse_or_zero(hn::Mul(integers.d, integers.scale[s])), tag, scales.inverse[s]);
      store_integers(integers.scale[s], Spec::kMinScale, scales.scale_code + s * kLanes);
    }
  }

  static void round(const Columns&, const Scales& scales, std::size_t group, const float* x,
                    std::int32_t* code) {
    const LaneTag tag;
    const auto inverse = hn::Load(tag, scales.inverse[group / Spec::kSubBlockWeights]);
    const auto q = IntegerLevels<Spec::kMinCode, Spec::kMaxCode>::nearest(hn::Mul(hn::Load(tag, x), inverse));
    store_integers(q, Spec::kMinCode, code);
  }

  static constexpr ScaleFreedom kFreedom{.unit = true, .multiples = true};
  static LaneVector nearest_unit_to(LaneVector exact) { return nearest_unit(exact); }
  static LaneVector nearest_multiple_to(LaneVector exact) {
    return round_and_clamp(exact, Spec::kMinScale, Spec::kMaxScale);
  }
  static void get_scales(const Scales& scales, LaneScales<kSubBlocks>& result) {
    const LaneTag tag;
    result.reset();
    hn::Store(hn::Load(tag, scales.d), tag, result.unit);
    for (std::size_t i = 0; i < kSubBlocks * kLanes; i += kLanes) {
      const auto code = hn::ConvertTo(tag, hn::Load(LaneIntTag(), scales.scale_code + i));
      hn::Store(hn::Add(code, hn::Set(tag, Spec::kMinScale)), tag, result.multiple + i);
    }
  }
  static void set_scales(const LaneScales<kSubBlocks>& from, Scales& scales) {
    const LaneTag tag;
    hn::Store(hn::Load(tag, from.unit), tag, scales.d);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      hn::Store(inverse_or_zero(from.scale(s)), tag, scales.inverse[s]);
      store_integers(hn::Load(tag, from.multiple + s * kLanes), Spec::kMinScale,
                     scales.scale_code + s * kLanes);
    }
  }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) {
    integer_values(code, float{Spec::kMinCode}, v);
  }
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
