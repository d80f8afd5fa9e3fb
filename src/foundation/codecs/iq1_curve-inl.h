// A concave function of a sub-block's scale, interpolated from a few samples, one row per lane
// (iq1_fit-inl.h).
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_IQ1_CURVE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_IQ1_CURVE_INL_H_
#undef TESSERA_CODECS_IQ1_CURVE_INL_H_
#else
#define TESSERA_CODECS_IQ1_CURVE_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>

#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// F of a sub-block over its scale, in units of an estimated scale: Newton's polynomial through the samples,
/// straight lines outside of them.
class Iq1Curve {
 public:
  static constexpr std::array kNodes{0.55f, 0.85f, 1.15f, 1.6f};
  static constexpr std::size_t kSamples = kNodes.size();

  void set(const LaneVector* samples /*[kSamples]*/) {
    std::array<LaneVector, kSamples> differences;
    for (std::size_t j = 0; j < kSamples; ++j) differences[j] = samples[j];
    for (std::size_t order = 1; order < kSamples; ++order) {
      for (std::size_t j = kSamples - 1; j >= order; --j) {
        const float span = kNodes[j] - kNodes[j - order];
        differences[j] =
            hn::Mul(hn::Sub(differences[j], differences[j - 1]), hn::Set(LaneTag(), 1.0f / span));
      }
      if (order == 1) {
        store(kSamples, differences[1]);
        store(kSamples + 1, differences[kSamples - 1]);
      }
    }
    for (std::size_t j = 0; j < kSamples; ++j) store(j, differences[j]);
  }

  HWY_INLINE LaneVector at(LaneVector u) const {
    const LaneTag df;
    const auto first = hn::Set(df, kNodes.front()), last = hn::Set(df, kNodes.back());
    const auto inside = hn::Clamp(u, first, last);
    auto value = load(kSamples - 1);
    for (std::size_t j = kSamples - 1; j-- > 0;) {
      value = hn::MulAdd(value, hn::Sub(inside, hn::Set(df, kNodes[j])), load(j));
    }
    value = hn::MulAdd(load(kSamples), hn::Sub(hn::Min(u, first), first), value);
    return hn::MulAdd(load(kSamples + 1), hn::Sub(hn::Max(u, last), last), value);
  }

 private:
  LaneVector load(std::size_t j) const { return hn::Load(LaneTag(), terms_ + j * kLanes); }
  void store(std::size_t j, LaneVector value) { hn::Store(value, LaneTag(), terms_ + j * kLanes); }

  alignas(64) float terms_[(kSamples + 2) * kLanes];  ///< Newton's coefficients, first and last slope
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
