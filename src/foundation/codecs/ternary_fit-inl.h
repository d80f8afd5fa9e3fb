// The scale of a block whose weights decode to -d, 0 or d.
//
// The weights that become +-d are those of magnitude above some threshold t (d / 2 for the best d). For the
// set above t, A = sum(w |x|) and B = sum(w) give the best d = A / B, which removes A^2 / B from the error.
// The largest A^2 / B over a grid of thresholds is taken (relative to the weighted mean magnitude, so that a
// block which already is ternary has one between 0 and d and is reproduced exactly), then t = d / 2 is
// iterated.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_TERNARY_FIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_TERNARY_FIT_INL_H_
#undef TESSERA_CODECS_TERNARY_FIT_INL_H_
#else
#define TESSERA_CODECS_TERNARY_FIT_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>

#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/symmetric_fit-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr std::size_t kTernaryWeights = 256;

class TernaryFit {
 public:
  /// `importance` is [256], `x` is [256][kLanes].
  TernaryFit(const float* importance, const float* x) : importance_(importance) {
    const LaneTag d;
    extreme_ = hn::Abs(extreme_weight<kTernaryWeights>(x));
    const auto inverse = inverse_or_zero(extreme_);
    ChainedSums<1> sum, energy;
    for (std::size_t i = 0; i < kTernaryWeights; i += kChains) {
      for (std::size_t chain = 0; chain < kChains; ++chain) {
        const auto magnitude = hn::Mul(hn::Abs(hn::Load(d, x + (i + chain) * kLanes)), inverse);
        const auto weighted = hn::Mul(hn::Set(d, importance[i + chain]), magnitude);
        sum.of(0, chain) = hn::Add(sum.of(0, chain), weighted);
        energy.of(0, chain) = hn::MulAdd(weighted, magnitude, energy.of(0, chain));
        hn::Store(magnitude, d, magnitude_ + (i + chain) * kLanes);
      }
    }
    energy_ = energy.total(0);
    mean_ = hn::Mul(sum.total(0), hn::Set(d, 1.0f / kTernaryWeights));  // the importance has mean 1
    best_ = {hn::Zero(d), hn::Set(d, kNothingAbove)};
  }

  /// Thresholds in units of the mean magnitude.
  template <std::size_t kCandidates>
  void try_thresholds(const std::array<float, kCandidates>& candidates) {
    constexpr std::size_t kBatch = 4;
    static_assert(kCandidates % kBatch == 0);
    for (std::size_t first = 0; first < kCandidates; first += kBatch) {
      std::array<LaneVector, kBatch> thresholds;
      for (std::size_t k = 0; k < kBatch; ++k) {
        thresholds[k] = hn::Mul(mean_, hn::Set(LaneTag(), candidates[first + k]));
      }
      keep_best(thresholds);
    }
  }

  /// Moves the threshold to half the best scale so far.
  void refine() { keep_best(std::array{hn::Mul(relative_scale(), hn::Set(LaneTag(), 0.5f))}); }

  /// The best scale found, rounded to half: the one to round codes under.
  LaneVector scale() const { return stored_scale(hn::Mul(relative_scale(), extreme_), extreme_); }

  /// The same with the gain restored, rounded to half: the one to store.
  LaneVector corrected_scale() const {
    const auto error = hn::Sub(energy_, hn::Mul(relative_scale(), best_.magnitude));
    return stored_scale(hn::Mul(hn::Mul(relative_scale(), extreme_), gain_correction(energy_, error)),
                        extreme_);
  }

 private:
  /// Sums over the weights above a threshold: importance * magnitude, and importance.
  struct Sums {
    LaneVector magnitude, importance;
  };
  /// The sum of importance before any candidate: not zero, so that it can be divided by.
  static constexpr float kNothingAbove = 1e-30f;

  LaneVector relative_scale() const { return hn::Div(best_.magnitude, best_.importance); }

  template <std::size_t kBatch>
  void keep_best(const std::array<LaneVector, kBatch>& thresholds) {
    const LaneTag d;
    constexpr std::size_t kParts = ChainedSums<kBatch>::kParts;
    ChainedSums<kBatch> magnitudes, importances;
    for (std::size_t i = 0; i < kTernaryWeights; i += kParts) {
      for (std::size_t part = 0; part < kParts; ++part) {
        const auto u = hn::Load(d, magnitude_ + (i + part) * kLanes);
        const auto w = hn::Set(d, importance_[i + part]);
        const auto wu = hn::Mul(w, u);
        for (std::size_t k = 0; k < kBatch; ++k) {
          const auto above = hn::Gt(u, thresholds[k]);
          auto& magnitude = magnitudes.of(k, part);
          auto& importance = importances.of(k, part);
          // Where there are masks this is one addition under a mask; adding a masked value would be two
          // steps.
          magnitude = hn::IfThenElse(above, hn::Add(magnitude, wu), magnitude);
          importance = hn::IfThenElse(above, hn::Add(importance, w), importance);
        }
      }
    }
    for (std::size_t k = 0; k < kBatch; ++k) {
      const Sums sum{magnitudes.total(k), importances.total(k)};
      // magnitude^2 / importance against the best one's, without the divisions.
      const auto left = hn::Mul(hn::Mul(sum.magnitude, sum.magnitude), best_.importance);
      const auto right = hn::Mul(hn::Mul(best_.magnitude, best_.magnitude), sum.importance);
      const auto better = hn::Gt(left, right);
      best_.magnitude = hn::IfThenElse(better, sum.magnitude, best_.magnitude);
      best_.importance = hn::IfThenElse(better, sum.importance, best_.importance);
    }
  }

  const float* importance_;
  LaneVector extreme_, mean_;
  LaneVector energy_;  ///< sum(w u^2), u the magnitudes relative to the extreme one
  Sums best_;
  alignas(64) float magnitude_[kTernaryWeights * kLanes];
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
