// Refitting the scales of a block with its codes as they are.
//
// y is linear in each free scale p (lane_scales-inl.h): with u = dy/dp and G = E H, changing p by c costs
// c^2 u H u^T - 2 c G u^T more. So each moves to the storable value nearest to its optimum, one after the
// other, where that lowers the cost.
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_FEEDBACK_REFIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_FEEDBACK_REFIT_INL_H_
#undef TESSERA_CODECS_FEEDBACK_REFIT_INL_H_
#else
#define TESSERA_CODECS_FEEDBACK_REFIT_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "foundation/codecs/lane_products-inl.h"
#include "foundation/codecs/lane_scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The columns of a panel from the block on.
struct RefitPlace {
  const float* hessian;  ///< its rows and columns of H, rows `stride` apart
  std::size_t stride;
  std::size_t columns;  ///< to the end of the panel
  float* error;         ///< E, [columns][kLanes]
  float* gradient;      ///< G, [columns][kLanes]
};

template <class Format>
class ScaleRefit {
 public:
  static constexpr std::size_t kSubBlocks = Format::kSubBlocks;

  /// Moves the scales in `stored`; E of the block and G of all columns of the place follow.
  void run(const RefitPlace& place, const typename Format::Scales& scales, const std::int32_t* codes,
           LaneScales<kSubBlocks>& stored) {
    constexpr std::size_t kWidth = Format::kGroupWeights;
    for (std::size_t group = 0; group < kBlock / kWidth; ++group) {
      Format::values(scales, group, codes + group * kLanes, values_ + group * kWidth * kLanes);
    }
    move_units(place, stored);
    for (std::size_t s = 0; s < kSubBlocks; ++s) move_sub_block(place, s, stored);
  }

 private:
  static constexpr std::size_t kBlock = Format::kBlockWeights;
  static constexpr std::size_t kSubBlockWeights = kBlock / kSubBlocks;
  static_assert(kSubBlockWeights % kProductRows == 0);

  void move_units(const RefitPlace& place, LaneScales<kSubBlocks>& stored) {
    const LaneTag tag;
    if constexpr (Format::kFreedom.unit) {
      for (std::size_t i = 0; i < kBlock; ++i) {
        const auto multiple = hn::Load(tag, stored.multiple + i / kSubBlockWeights * kLanes);
        hn::Store(hn::Mul(multiple, hn::Load(tag, values_ + i * kLanes)), tag, slope_ + i * kLanes);
      }
      move(place, 0, kBlock, stored.unit, Format::nearest_unit_to);
    }
    if constexpr (Format::kFreedom.minimum_unit) {
      for (std::size_t i = 0; i < kBlock; ++i) {
        const auto minimum = hn::Load(tag, stored.minimum + i / kSubBlockWeights * kLanes);
        hn::Store(hn::Neg(minimum), tag, slope_ + i * kLanes);
      }
      move(place, 0, kBlock, stored.minimum_unit, Format::nearest_minimum_unit_to);
    }
  }

  void move_sub_block(const RefitPlace& place, std::size_t s, LaneScales<kSubBlocks>& stored) {
    const LaneTag tag;
    const std::size_t begin = s * kSubBlockWeights, end = begin + kSubBlockWeights;
    if constexpr (Format::kFreedom.multiples) {
      const auto unit = hn::Load(tag, stored.unit);
      for (std::size_t i = begin; i < end; ++i) {
        hn::Store(hn::Mul(unit, hn::Load(tag, values_ + i * kLanes)), tag, slope_ + i * kLanes);
      }
      move(place, begin, end, stored.multiple + s * kLanes, Format::nearest_multiple_to);
    }
    if constexpr (Format::kFreedom.minima) {
      const auto unit = hn::Neg(hn::Load(tag, stored.minimum_unit));
      for (std::size_t i = begin; i < end; ++i) hn::Store(unit, tag, slope_ + i * kLanes);
      move(place, begin, end, stored.minimum + s * kLanes, Format::nearest_minimum_to);
    }
  }

  /// Moves the scale of which slope_[begin, end) is the derivative of y.
  template <class Nearest>
  void move(const RefitPlace& place, std::size_t begin, std::size_t end, float* scale,
            const Nearest& nearest) {
    const LaneTag tag;
    auto curvature = hn::Zero(tag), pull = hn::Zero(tag);
    for (std::size_t k = begin; k < end; k += kProductRows) {
      row_products(place.hessian + k * place.stride, place.stride, slope_, begin, end, curved_ + k * kLanes);
    }
    for (std::size_t k = begin * kLanes; k < end * kLanes; k += kLanes) {
      const auto slope = hn::Load(tag, slope_ + k);
      curvature = hn::MulAdd(slope, hn::Load(tag, curved_ + k), curvature);
      pull = hn::MulAdd(slope, hn::Load(tag, place.gradient + k), pull);
    }
    const auto present = hn::Load(tag, scale);
    auto change = hn::Sub(nearest(hn::Add(present, divide_or_zero(pull, curvature))), present);
    const auto cost = hn::Mul(change, hn::MulSub(change, curvature, hn::Add(pull, pull)));
    change = hn::IfThenElseZero(hn::Lt(cost, hn::Zero(tag)), change);
    if (hn::AllTrue(tag, hn::Eq(change, hn::Zero(tag)))) return;
    hn::Store(hn::Add(present, change), tag, scale);
    follow(place, begin, end, change);
  }

  void follow(const RefitPlace& place, std::size_t begin, std::size_t end, LaneVector change) {
    const LaneTag tag;
    for (std::size_t k = begin; k < end; ++k) {
      float* error = place.error + k * kLanes;
      hn::Store(hn::NegMulAdd(change, hn::Load(tag, slope_ + k * kLanes), hn::Load(tag, error)), tag, error);
    }
    alignas(64) float others[kProductRows * kLanes];
    for (std::size_t k = 0; k < place.columns; k += kProductRows) {
      const bool is_curved = k >= begin && k < end;
      if (!is_curved)
        row_products(place.hessian + k * place.stride, place.stride, slope_, begin, end, others);
      const float* curved = is_curved ? curved_ + k * kLanes : others;
      float* gradient = place.gradient + k * kLanes;
      for (std::size_t i = 0; i < kProductRows * kLanes; i += kLanes)
        hn::Store(hn::NegMulAdd(change, hn::Load(tag, curved + i), hn::Load(tag, gradient + i)), tag,
                  gradient + i);
    }
  }

  alignas(64) float values_[kBlock * kLanes];
  alignas(64) float slope_[kBlock * kLanes];
  alignas(64) float curved_[kBlock * kLanes];  ///< slope_ H, of the scale that moves
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
