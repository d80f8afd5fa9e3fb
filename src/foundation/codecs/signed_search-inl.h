// Scale of one sub-block without a minimum: y = scale * q, q one of the levels, scale of either sign.
//
// For fixed codes the weighted squared error is a quadratic in the scale whose coefficients are two sums over
// the sub-block; for a fixed scale the nearest levels are best. The search alternates the two (Lloyd 1982)
// from starting scales of both signs: levels need not be symmetric (-4..3), and the error has many local
// minima.
//
// Levels is a struct with `static LaneVector nearest(LaneVector)`: the nearest level to every lane, as float.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_SIGNED_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_SIGNED_SEARCH_INL_H_
#undef TESSERA_CODECS_SIGNED_SEARCH_INL_H_
#else
#define TESSERA_CODECS_SIGNED_SEARCH_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <span>

#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The integers kLow..kHigh.
template <int kLow, int kHigh>
struct IntegerLevels {
  static HWY_INLINE LaneVector nearest(LaneVector exact) { return round_and_clamp(exact, kLow, kHigh); }
};

/// One sub-block of a tile. Columns are kLanes apart.
struct SignedSubBlock {
  const float* x;           ///< [weights][kLanes]
  const float* weighted_x;  ///< [weights][kLanes] importance * x
  const float* importance;  ///< [weights]
};

/// What a choice of codes sums up to, every term times its importance.
struct SignedSums {
  LaneVector qq, xq;
};

/// A least-squares scale, the error it leads to less the error of all zeros (so it is not positive), and the
/// growth of that error per square of change in scale.
struct SignedSolution {
  LaneVector scale, error, curvature;
};

/// The sums of the levels nearest to x * inverse.
template <std::size_t kWeights, class Levels>
HWY_INLINE SignedSums signed_sums(const SignedSubBlock& block, LaneVector inverse) {
  const LaneTag tag;
  SignedSums sums{hn::Zero(tag), hn::Zero(tag)};
  for (std::size_t i = 0; i < kWeights; ++i) {
    const auto q = Levels::nearest(hn::Mul(hn::Load(tag, block.x + i * kLanes), inverse));
    sums.qq = hn::MulAdd(hn::Mul(hn::Set(tag, block.importance[i]), q), q, sums.qq);
    sums.xq = hn::MulAdd(hn::Load(tag, block.weighted_x + i * kLanes), q, sums.xq);
  }
  return sums;
}

/// The error of codes with these sums at `scale`, less the error of all zeros.
HWY_INLINE LaneVector signed_error(const SignedSums& sums, LaneVector scale) {
  return hn::Mul(scale, hn::NegMulAdd(hn::Set(LaneTag(), 2.0f), sums.xq, hn::Mul(scale, sums.qq)));
}

HWY_INLINE SignedSolution solve_signed(const SignedSums& sums) {
  const auto scale = divide_or_zero(sums.xq, sums.qq);
  return {scale, hn::Neg(hn::Mul(scale, sums.xq)), sums.qq};
}

HWY_INLINE void keep_better(const SignedSolution& candidate, SignedSolution& best) {
  const auto better = hn::Lt(candidate.error, best.error);
  best.scale = hn::IfThenElse(better, candidate.scale, best.scale);
  best.error = hn::IfThenElse(better, candidate.error, best.error);
  best.curvature = hn::IfThenElse(better, candidate.curvature, best.curvature);
}

/// The best scale of the sub-block, free to take any value. `starts` are the levels, not necessarily integer,
/// that the weight of largest magnitude is first mapped to; each is followed by `alternations` rounds.
template <std::size_t kWeights, class Levels>
SignedSolution search_signed(const SignedSubBlock& block, std::span<const float> starts, int alternations) {
  const LaneTag tag;
  auto largest = hn::Zero(tag), extreme = hn::Zero(tag);
  for (std::size_t i = 0; i < kWeights; ++i) {
    const auto x = hn::Load(tag, block.x + i * kLanes);
    const auto larger = hn::Gt(hn::Abs(x), largest);
    largest = hn::IfThenElse(larger, hn::Abs(x), largest);
    extreme = hn::IfThenElse(larger, x, extreme);
  }
  const auto inverse_extreme = inverse_or_zero(extreme);
  SignedSolution best{hn::Zero(tag), hn::Zero(tag), hn::Zero(tag)};
  for (const float start : starts) {
    auto inverse = hn::Mul(inverse_extreme, hn::Set(tag, start));
    for (int alternation = 0; alternation < alternations; ++alternation) {
      const auto solution = solve_signed(signed_sums<kWeights, Levels>(block, inverse));
      keep_better(solution, best);
      inverse = inverse_or_zero(solution.scale);
    }
  }
  return best;
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
