// The scale and offset of a block whose weights decode to scale * q + offset, q an integer of [0, kLevels].
//
// As symmetric_fit-inl.h, with two parameters: for any codes q, weighted linear regression of the weights on
// q gives the best scale and offset and leaves the error var(x) - cov(x, q)^2 / var(q) (weighted sums of
// squares around the mean). So: round under a list of candidate mappings, keep the codes with the largest
// cov^2 / var(q), and alternate between regression and rounding from there.
//
// A candidate is given by the real-valued codes on which the lowest and the highest weight fall.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_AFFINE_FIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_AFFINE_FIT_INL_H_
#undef TESSERA_CODECS_AFFINE_FIT_INL_H_
#else
#define TESSERA_CODECS_AFFINE_FIT_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>

#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/symmetric_fit-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The codes of the lowest and of the highest weight of the block.
struct AffineCandidate {
  float low, high;
};

template <int kLevels, std::size_t kWeights>
class AffineFit {
 public:
  /// `importance` is [kWeights], `x` is [kWeights][kLanes].
  AffineFit(const float* importance, const float* x) : importance_(importance) {
    const LaneTag d;
    low_ = high_ = hn::Load(d, x);
    for (std::size_t i = 1; i < kWeights; ++i) {
      low_ = hn::Min(low_, hn::Load(d, x + i * kLanes));
      high_ = hn::Max(high_, hn::Load(d, x + i * kLanes));
    }
    // So that the range is finite.
    low_ = hn::Max(low_, hn::Set(d, -kLargest));
    range_ = hn::Sub(hn::Min(high_, hn::Set(d, kLargest)), low_);
    const auto inverse = inverse_or_zero(range_);
    auto weight_sum = hn::Zero(d);
    auto mean_sum = hn::Zero(d);
    for (std::size_t i = 0; i < kWeights; ++i) {
      const auto relative = hn::Mul(hn::Sub(hn::Load(d, x + i * kLanes), low_), inverse);
      const auto w = hn::Set(d, importance_[i]);
      weight_sum = hn::Add(weight_sum, w);
      mean_sum = hn::MulAdd(w, relative, mean_sum);
      hn::Store(relative, d, relative_ + i * kLanes);
    }
    inverse_weight_sum_ = hn::Div(hn::Set(d, 1.0f), weight_sum);
    mean_ = hn::Mul(mean_sum, inverse_weight_sum_);
    best_ = {hn::Zero(d), hn::Set(d, kNoVariance), hn::Zero(d)};
  }

  template <std::size_t kCandidates>
  void try_candidates(const std::array<AffineCandidate, kCandidates>& candidates) {
    constexpr std::size_t kBatch = 3;
    static_assert(kCandidates % kBatch == 0);
    for (std::size_t first = 0; first < kCandidates; first += kBatch) {
      std::array<Mapping, kBatch> mappings;
      for (std::size_t k = 0; k < kBatch; ++k) {
        const auto [low, high] = candidates[first + k];
        mappings[k] = {hn::Set(LaneTag(), high - low), hn::Set(LaneTag(), low)};
      }
      keep_best(mappings);
    }
  }

  /// One step of the alternation: rounds under the regression on the best codes so far.
  void refine() {
    const auto slope = hn::Div(hn::Set(LaneTag(), 1.0f), relative_scale());
    keep_best(std::array{Mapping{slope, hn::NegMulAdd(slope, mean_, best_.mean)}});
  }

  /// The best scale found, rounded to half; 0 where all weights are equal (or as good as).
  LaneVector scale() const {
    const auto constant = hn::Le(range_, hn::Set(LaneTag(), kSmallestHalf / 2));
    return hn::IfThenZeroElse(constant, stored_scale(hn::Mul(relative_scale(), range_), range_));
  }

  /// The best offset for codes under `scale`, rounded to half.
  LaneVector offset(LaneVector scale) const {
    const LaneTag d;
    const auto mean = hn::MulAdd(mean_, range_, low_);
    return round_to_half(d, hn::NegMulAdd(scale, best_.mean, mean));
  }

 private:
  /// code = slope * relative weight + offset.
  struct Mapping {
    LaneVector slope, offset;
  };
  /// Weighted statistics of one rounding: sums around the mean, and the mean code.
  struct Regression {
    LaneVector covariance, variance, mean;
  };
  static constexpr float kLargest = 1e37f;
  /// The variance before any candidate: not zero, so that it can be divided by.
  static constexpr float kNoVariance = 1e-30f;

  /// Regression's scale in units of the range. Where importance is so uneven that its sums have no accurate
  /// digits left, it stays near one step of the range.
  LaneVector relative_scale() const {
    const LaneTag d;
    constexpr float kStep = 1.0f / kLevels;
    return hn::Clamp(hn::Div(best_.covariance, best_.variance), hn::Set(d, kStep / 4), hn::Set(d, kStep * 4));
  }

  template <std::size_t kBatch>
  void keep_best(const std::array<Mapping, kBatch>& mappings) {
    const LaneTag d;
    struct Sums {
      LaneVector product, square, code;
    };
    std::array<Sums, kBatch> sums;
    for (auto& sum : sums) sum = {hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (std::size_t i = 0; i < kWeights; ++i) {
      const auto u = hn::Load(d, relative_ + i * kLanes);
      const auto centered = hn::Sub(u, mean_);
      const auto w = hn::Set(d, importance_[i]);
      for (std::size_t k = 0; k < kBatch; ++k) {
        const auto rounded = nearest_integer(hn::MulAdd(u, mappings[k].slope, mappings[k].offset));
        const auto q = hn::Clamp(rounded, hn::Zero(d), hn::Set(d, float{kLevels}));
        const auto wq = hn::Mul(w, q);
        sums[k].product = hn::MulAdd(wq, centered, sums[k].product);
        sums[k].square = hn::MulAdd(wq, q, sums[k].square);
        sums[k].code = hn::Add(sums[k].code, wq);
      }
    }
    for (const auto& sum : sums) {
      const auto mean = hn::Mul(sum.code, inverse_weight_sum_);
      keep_if_better({sum.product, hn::NegMulAdd(mean, sum.code, sum.square), mean});
    }
  }

  void keep_if_better(const Regression& found) {
    // covariance^2 / variance against the best one's, without the divisions.
    const auto left = hn::Mul(hn::Mul(found.covariance, found.covariance), best_.variance);
    const auto right = hn::Mul(hn::Mul(best_.covariance, best_.covariance), found.variance);
    const auto better = hn::And(hn::Gt(left, right), hn::Gt(found.variance, hn::Zero(LaneTag())));
    best_.covariance = hn::IfThenElse(better, found.covariance, best_.covariance);
    best_.variance = hn::IfThenElse(better, found.variance, best_.variance);
    best_.mean = hn::IfThenElse(better, found.mean, best_.mean);
  }

  const float* importance_;
  LaneVector low_, high_, range_, mean_, inverse_weight_sum_;
  Regression best_;
  alignas(64) float relative_[kWeights * kLanes];
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
