// The fit of a super-block with a scale and a minimum per sub-block: Q2_K, Q4_K, Q5_K.
//
//   y = (d * sc[s]) * q - dmin * mn[s],  q in 0..kMaxCode, sc and mn in 0..kMaxScale, d and dmin halves
//
// The fit has three parts:
//   1. search: the best real scale and minimum of every sub-block (affine_search-inl.h);
//   2. units: d and dmin from a grid, judged by how the error of each sub-block grows around its optimum;
//   3. sweeps: with d and dmin rounded to halves, every sub-block takes the integers (sc, mn) of smallest
//      true error among the neighbours of its optimum; then d and dmin are solved jointly with all codes
//      and integers fixed (affine_normal_equations-inl.h).
// The state of smallest true error is kept. Its d and dmin are stored with a gain correction
// (gain_correction-inl.h).
//
// A Spec says
//   kSubBlocks, kSubBlockWeights, kMaxCode, kMaxScale    the format
//   kStarts, kPerturbations, kAlternations               the effort of the search
//   kUnitSteps    integers that the largest scale and the largest minimum may fall on
//   kSweeps       how often d and dmin are solved again
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_AFFINE_SUPER_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_AFFINE_SUPER_BLOCK_INL_H_
#undef TESSERA_CODECS_AFFINE_SUPER_BLOCK_INL_H_
#else
#define TESSERA_CODECS_AFFINE_SUPER_BLOCK_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "foundation/codecs/affine_normal_equations-inl.h"
#include "foundation/codecs/affine_search-inl.h"
#include "foundation/codecs/gain_correction-inl.h"
#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The units of a super-block and the integers of its sub-blocks, lane-wise, with the error they lead to
/// (less the error of all zeros).
template <std::size_t kSubBlocks>
struct AffineIntegers {
  LaneVector d, dmin, error;
  LaneVector scale[kSubBlocks];    ///< sc
  LaneVector minimum[kSubBlocks];  ///< mn

  void keep_better(const AffineIntegers& other) {
    const auto better = hn::Lt(other.error, error);
    d = hn::IfThenElse(better, other.d, d);
    dmin = hn::IfThenElse(better, other.dmin, dmin);
    error = hn::IfThenElse(better, other.error, error);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      scale[s] = hn::IfThenElse(better, other.scale[s], scale[s]);
      minimum[s] = hn::IfThenElse(better, other.minimum[s], minimum[s]);
    }
  }
};

template <class Spec>
class AffineSuperBlockFit {
 public:
  static constexpr std::size_t kSubBlocks = Spec::kSubBlocks;
  static constexpr std::size_t kWeights = Spec::kSubBlockWeights;
  using Integers = AffineIntegers<kSubBlocks>;

  /// `x` is [kSubBlocks * kWeights][kLanes], `importance` and `importance_sum` are of the columns.
  AffineSuperBlockFit(const float* x, const float* importance, const float* importance_sum)
      : importance_(importance) {
    const LaneTag tag;
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      importance_sum_[s] = hn::Set(tag, importance_sum[s]);
      inverse_importance_sum_[s] = hn::Set(tag, 1.0f / importance_sum[s]);
      center(x + s * kWeights * kLanes, s);
    }
  }

  Integers run() {
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      optima_[s] = search_affine<kWeights, Spec::kMaxCode, Spec>(block(s));
    }
    choose_units();
    Integers best = choose_integers();
    for (int sweep = 1; sweep <= Spec::kSweeps; ++sweep) {
      normal_.solve(d_, dmin_);
      best.keep_better(choose_integers());
    }
    return best;
  }

  /// The factor for the stored d and dmin.
  LaneVector gain(const Integers& integers) const {
    const LaneTag tag;
    auto around_means = hn::Zero(tag), of_means = hn::Zero(tag);
    for (std::size_t i = 0; i < kSubBlocks * kWeights; ++i) {
      around_means =
          hn::MulAdd(hn::Load(tag, x_ + i * kLanes), hn::Load(tag, weighted_x_ + i * kLanes), around_means);
    }
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      of_means = hn::MulAdd(hn::Mul(mean_[s], mean_[s]), importance_sum_[s], of_means);
    }
    return gain_correction(hn::Add(around_means, of_means), hn::Add(around_means, integers.error));
  }

 private:
  static constexpr float kMaxScale = Spec::kMaxScale;

  void center(const float* x, std::size_t s) {
    const LaneTag tag;
    const float* importance = importance_ + s * kWeights;
    const auto limit = hn::Set(tag, kLargestUsefulWeight);
    auto sum = hn::Zero(tag);
    float* centred = x_ + s * kWeights * kLanes;
    float* weighted = weighted_x_ + s * kWeights * kLanes;
    for (std::size_t i = 0; i < kWeights; ++i) {
      const auto clamped = hn::Clamp(hn::Load(tag, x + i * kLanes), hn::Neg(limit), limit);
      hn::Store(clamped, tag, centred + i * kLanes);
      sum = hn::MulAdd(clamped, hn::Set(tag, importance[i]), sum);
    }
    mean_[s] = hn::Mul(sum, inverse_importance_sum_[s]);
    for (std::size_t i = 0; i < kWeights; ++i) {
      const auto value = hn::Sub(hn::Load(tag, centred + i * kLanes), mean_[s]);
      hn::Store(value, tag, centred + i * kLanes);
      hn::Store(hn::Mul(value, hn::Set(tag, importance[i])), tag, weighted + i * kLanes);
    }
  }

  AffineSubBlock block(std::size_t s) const {
    return {x_ + s * kWeights * kLanes, weighted_x_ + s * kWeights * kLanes,
            importance_ + s * kWeights, mean_[s],
            importance_sum_[s],         inverse_importance_sum_[s]};
  }

  /// Part 2: d and dmin such that the largest scale and minimum become one of the upper integers.
  void choose_units() {
    const LaneTag tag;
    auto largest_scale = hn::Zero(tag), largest_minimum = hn::Zero(tag);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      largest_scale = hn::Max(largest_scale, optima_[s].scale);
      largest_minimum = hn::Max(largest_minimum, hn::Sub(optima_[s].offset, mean_[s]));
    }
    auto best_growth = hn::Set(tag, 0x1p120f);
    d_ = dmin_ = hn::Zero(tag);
    for (const float scale_steps : Spec::kUnitSteps) {
      const auto d = hn::Mul(largest_scale, hn::Set(tag, 1.0f / scale_steps));
      LaneVector minimum[kSubBlocks];
      const auto growth = growth_in_scale(d, minimum);
      for (const float minimum_steps : Spec::kUnitSteps) {
        const auto dmin = hn::Mul(largest_minimum, hn::Set(tag, 1.0f / minimum_steps));
        const auto total = hn::Add(growth, growth_in_minimum(dmin, minimum));
        const auto better = hn::Lt(total, best_growth);
        best_growth = hn::IfThenElse(better, total, best_growth);
        d_ = hn::IfThenElse(better, d, d_);
        dmin_ = hn::IfThenElse(better, dmin, dmin_);
      }
    }
  }

  /// How much the errors grow by rounding the scales to multiples of d; and the best minima that go with
  /// these.
  LaneVector growth_in_scale(LaneVector d, LaneVector* minimum) const {
    const LaneTag tag;
    const auto inverse = inverse_or_zero(d);
    auto growth = hn::Zero(tag);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      const auto& optimum = optima_[s];
      const auto sc = round_and_clamp(hn::Mul(optimum.scale, inverse), 0.0f, kMaxScale);
      const auto change = hn::MulSub(sc, d, optimum.scale);
      growth = hn::MulAdd(hn::Mul(change, change), optimum.curvature, growth);
      minimum[s] = hn::Sub(hn::MulAdd(change, optimum.mean_code, optimum.offset), mean_[s]);
    }
    return growth;
  }

  LaneVector growth_in_minimum(LaneVector dmin, const LaneVector* minimum) const {
    const LaneTag tag;
    const auto inverse = inverse_or_zero(dmin);
    auto growth = hn::Zero(tag);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      const auto mn = round_and_clamp(hn::Mul(minimum[s], inverse), 0.0f, kMaxScale);
      const auto change = hn::NegMulAdd(mn, dmin, minimum[s]);
      growth = hn::MulAdd(hn::Mul(change, change), importance_sum_[s], growth);
    }
    return growth;
  }

  struct Units {
    LaneVector d, dmin, inverse_d, inverse_dmin;
  };

  /// Part 3, first half.
  Integers choose_integers() {
    const LaneTag tag;
    Integers result;
    result.d = nearest_unit(d_);
    result.dmin = nearest_unit(dmin_);
    const Units units{result.d, result.dmin, inverse_or_zero(result.d), inverse_or_zero(result.dmin)};
    result.error = hn::Zero(tag);
    normal_ = AffineNormalEquations();
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      const Choice choice = choose_of_sub_block(s, units);
      result.scale[s] = choice.sc;
      result.minimum[s] = choice.mn;
      result.error = hn::Add(result.error, choice.error);
      normal_.add({choice.sc, choice.mn, choice.sums, mean_[s], importance_sum_[s]});
      optima_[s] = solve_affine(block(s), choice.sums);
    }
    return result;
  }

  struct Choice {
    LaneVector sc, mn, error;
    AffineSums sums;
  };

  static void keep_better(const Choice& candidate, Choice& best) {
    const auto better = hn::Lt(candidate.error, best.error);
    best.sc = hn::IfThenElse(better, candidate.sc, best.sc);
    best.mn = hn::IfThenElse(better, candidate.mn, best.mn);
    best.error = hn::IfThenElse(better, candidate.error, best.error);
    best.sums.q = hn::IfThenElse(better, candidate.sums.q, best.sums.q);
    best.sums.qq = hn::IfThenElse(better, candidate.sums.qq, best.sums.qq);
    best.sums.xq = hn::IfThenElse(better, candidate.sums.xq, best.sums.xq);
  }

  Choice choose_of_sub_block(std::size_t s, const Units& units) const {
    const LaneTag tag;
    const AffineSolution& optimum = optima_[s];
    const auto center = hn::Round(hn::Mul(optimum.scale, units.inverse_d));
    Choice best{
        hn::Zero(tag), hn::Zero(tag), hn::Set(tag, 0x1p120f), {hn::Zero(tag), hn::Zero(tag), hn::Zero(tag)}};
    for (int delta = -1; delta <= 1; ++delta) {
      const auto sc = hn::Clamp(hn::Add(center, hn::Set(tag, static_cast<float>(delta))), hn::Zero(tag),
                                hn::Set(tag, kMaxScale));
      const auto scale = hn::Mul(sc, units.d);
      const auto offset = hn::MulAdd(hn::Sub(scale, optimum.scale), optimum.mean_code, optimum.offset);
      const auto mn = integer_minimum(s, units, offset);
      const auto rounded_offset = hn::MulAdd(mn, units.dmin, mean_[s]);
      const auto inverse = inverse_or_zero(scale);
      const AffineSums sums =
          affine_sums<kWeights, Spec::kMaxCode>(block(s), inverse, hn::Mul(rounded_offset, inverse));
      keep_better({sc, mn, affine_error(block(s), sums, scale, rounded_offset), sums}, best);
      keep_better(integers_of_codes(s, units, sums), best);
    }
    return best;
  }

  LaneVector integer_minimum(std::size_t s, const Units& units, LaneVector offset) const {
    return round_and_clamp(hn::Mul(hn::Sub(offset, mean_[s]), units.inverse_dmin), 0.0f, kMaxScale);
  }

  /// The integers nearest to the least-squares solution of codes that are given by their sums.
  Choice integers_of_codes(std::size_t s, const Units& units, const AffineSums& sums) const {
    const AffineSolution solution = solve_affine(block(s), sums);
    const auto sc = round_and_clamp(hn::Mul(solution.scale, units.inverse_d), 0.0f, kMaxScale);
    const auto scale = hn::Mul(sc, units.d);
    const auto offset = hn::MulAdd(hn::Sub(scale, solution.scale), solution.mean_code, solution.offset);
    const auto mn = integer_minimum(s, units, offset);
    return {sc, mn, affine_error(block(s), sums, scale, hn::MulAdd(mn, units.dmin, mean_[s])), sums};
  }

  alignas(64) float x_[kSubBlocks * kWeights * kLanes];
  alignas(64) float weighted_x_[kSubBlocks * kWeights * kLanes];
  const float* importance_;
  LaneVector importance_sum_[kSubBlocks], inverse_importance_sum_[kSubBlocks];
  LaneVector mean_[kSubBlocks];
  AffineSolution optima_[kSubBlocks];
  LaneVector d_, dmin_;
  AffineNormalEquations normal_;
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
