// The fit of a super-block with one signed scale per sub-block: Q3_K, Q6_K.
//
//   y = (d * sc[s]) * q,  q in kMinCode..kMaxCode, sc in kMinScale..kMaxScale, d a half of either sign
//
// The fit has three parts:
//   1. search: the best real scale of every sub-block (signed_search-inl.h);
//   2. unit: d from a grid, judged by how the error of each sub-block grows around its optimum;
//   3. sweeps: with d rounded to a half, every sub-block takes the integer of smallest true error among the
//      neighbours of its optimum; then d is solved by weighted least squares with all codes and integers
//      fixed.
// The state of smallest true error is kept. Its d is stored with a gain correction (gain_correction-inl.h).
//
// A Spec says
//   kSubBlocks, kSubBlockWeights, kMinCode, kMaxCode, kMinScale, kMaxScale    the format
//   kStarts, kAlternations    the effort of the search
//   kUnitSteps                integers that the scale of largest magnitude may fall on
//   kSweeps                   how often d is solved again
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_SIGNED_SUPER_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_SIGNED_SUPER_BLOCK_INL_H_
#undef TESSERA_CODECS_SIGNED_SUPER_BLOCK_INL_H_
#else
#define TESSERA_CODECS_SIGNED_SUPER_BLOCK_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "foundation/codecs/gain_correction-inl.h"
#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/signed_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The unit of a super-block and the integers of its sub-blocks, lane-wise, with the error they lead to (less
/// the error of all zeros).
template <std::size_t kSubBlocks>
struct SignedIntegers {
  LaneVector d, error;
  LaneVector scale[kSubBlocks];  ///< sc

  void keep_better(const SignedIntegers& other) {
    const auto better = hn::Lt(other.error, error);
    d = hn::IfThenElse(better, other.d, d);
    error = hn::IfThenElse(better, other.error, error);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      scale[s] = hn::IfThenElse(better, other.scale[s], scale[s]);
    }
  }
};

template <class Spec>
class SignedSuperBlockFit {
 public:
  static constexpr std::size_t kSubBlocks = Spec::kSubBlocks;
  static constexpr std::size_t kWeights = Spec::kSubBlockWeights;
  using Levels = IntegerLevels<Spec::kMinCode, Spec::kMaxCode>;
  using Integers = SignedIntegers<kSubBlocks>;

  /// `x` is [kSubBlocks * kWeights][kLanes], `importance` is of the columns.
  SignedSuperBlockFit(const float* x, const float* importance) : importance_(importance) {
    const LaneTag tag;
    const auto limit = hn::Set(tag, kLargestUsefulWeight);
    for (std::size_t i = 0; i < kSubBlocks * kWeights; ++i) {
      const auto clamped = hn::Clamp(hn::Load(tag, x + i * kLanes), hn::Neg(limit), limit);
      hn::Store(clamped, tag, x_ + i * kLanes);
      hn::Store(hn::Mul(clamped, hn::Set(tag, importance[i])), tag, weighted_x_ + i * kLanes);
    }
  }

  Integers run() {
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      optima_[s] = search_signed<kWeights, Levels>(block(s), Spec::kStarts, Spec::kAlternations);
    }
    choose_unit();
    Integers best = choose_integers();
    for (int sweep = 1; sweep <= Spec::kSweeps; ++sweep) {
      best.keep_better(choose_integers());
    }
    return best;
  }

  /// The factor for the stored d.
  LaneVector gain(const Integers& integers) const {
    const LaneTag tag;
    auto energy = hn::Zero(tag);
    for (std::size_t i = 0; i < kSubBlocks * kWeights; ++i) {
      energy = hn::MulAdd(hn::Load(tag, x_ + i * kLanes), hn::Load(tag, weighted_x_ + i * kLanes), energy);
    }
    return gain_correction(energy, hn::Add(energy, integers.error));
  }

 private:
  struct Choice {
    LaneVector sc, error;
    SignedSums sums;
  };

  SignedSubBlock block(std::size_t s) const {
    const std::size_t first = s * kWeights;
    return {x_ + first * kLanes, weighted_x_ + first * kLanes, importance_ + first};
  }

  static LaneVector integer_scale(LaneVector exact) {
    return round_and_clamp(exact, Spec::kMinScale, Spec::kMaxScale);
  }

  /// Part 2: d such that the scale of largest magnitude becomes one of the outer integers.
  void choose_unit() {
    const LaneTag tag;
    auto extreme = hn::Zero(tag);
    for (const auto& optimum : optima_) {
      extreme = hn::IfThenElse(hn::Gt(hn::Abs(optimum.scale), hn::Abs(extreme)), optimum.scale, extreme);
    }
    auto best_growth = hn::Set(tag, 0x1p120f);
    d_ = hn::Zero(tag);
    for (const float steps : Spec::kUnitSteps) {
      const auto d = hn::Mul(extreme, hn::Set(tag, 1.0f / steps));
      const auto growth = growth_of_error(d);
      const auto better = hn::Lt(growth, best_growth);
      best_growth = hn::IfThenElse(better, growth, best_growth);
      d_ = hn::IfThenElse(better, d, d_);
    }
  }

  LaneVector growth_of_error(LaneVector d) const {
    const LaneTag tag;
    const auto inverse = inverse_or_zero(d);
    auto growth = hn::Zero(tag);
    for (const auto& optimum : optima_) {
      const auto change = hn::MulSub(integer_scale(hn::Mul(optimum.scale, inverse)), d, optimum.scale);
      growth = hn::MulAdd(hn::Mul(change, change), optimum.curvature, growth);
    }
    return growth;
  }

  /// Part 3; leaves the least-squares d of the choice in d_.
  Integers choose_integers() {
    const LaneTag tag;
    Integers result;
    result.d = nearest_unit(d_);
    const auto inverse_d = inverse_or_zero(result.d);
    result.error = hn::Zero(tag);
    auto scale_scale = hn::Zero(tag), scale_x = hn::Zero(tag);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      const Choice choice = choose_of_sub_block(s, result.d, inverse_d);
      result.scale[s] = choice.sc;
      result.error = hn::Add(result.error, choice.error);
      scale_scale = hn::MulAdd(hn::Mul(choice.sc, choice.sc), choice.sums.qq, scale_scale);
      scale_x = hn::MulAdd(choice.sc, choice.sums.xq, scale_x);
      optima_[s] = solve_signed(choice.sums);
    }
    d_ = divide_or_zero(scale_x, scale_scale);
    return result;
  }

  Choice choose_of_sub_block(std::size_t s, LaneVector d, LaneVector inverse_d) const {
    const LaneTag tag;
    const auto center = integer_scale(hn::Mul(optima_[s].scale, inverse_d));
    const auto zero = hn::Zero(tag);
    Choice best{zero, zero, {zero, zero}};
    for (int delta = -1; delta <= 1; ++delta) {
      try_integer(s, integer_scale(hn::Add(center, hn::Set(tag, static_cast<float>(delta)))), d, inverse_d,
                  best);
    }
    return best;
  }

  /// Tries `sc` with its nearest codes, and those codes with the integer nearest to their best scale.
  void try_integer(std::size_t s, LaneVector sc, LaneVector d, LaneVector inverse_d, Choice& best) const {
    const auto scale = hn::Mul(sc, d);
    const SignedSums sums = signed_sums<kWeights, Levels>(block(s), inverse_or_zero(scale));
    keep_better({sc, signed_error(sums, scale), sums}, best);
    const auto solved = integer_scale(hn::Mul(divide_or_zero(sums.xq, sums.qq), inverse_d));
    keep_better({solved, signed_error(sums, hn::Mul(solved, d)), sums}, best);
  }

  static void keep_better(const Choice& candidate, Choice& best) {
    const auto better = hn::Lt(candidate.error, best.error);
    best.sc = hn::IfThenElse(better, candidate.sc, best.sc);
    best.error = hn::IfThenElse(better, candidate.error, best.error);
    best.sums.qq = hn::IfThenElse(better, candidate.sums.qq, best.sums.qq);
    best.sums.xq = hn::IfThenElse(better, candidate.sums.xq, best.sums.xq);
  }

  alignas(64) float x_[kSubBlocks * kWeights * kLanes];
  alignas(64) float weighted_x_[kSubBlocks * kWeights * kLanes];
  const float* importance_;
  SignedSolution optima_[kSubBlocks];
  LaneVector d_;
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
