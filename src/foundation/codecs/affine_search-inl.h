// Scale and minimum of one sub-block: y = scale * q - minimum, codes q in 0..kMaxCode, minimum >= 0.
//
// For fixed codes the weighted squared error is a quadratic in (scale, minimum) whose coefficients are three
// sums over the sub-block, so its joint least-squares solution and the error of any other pair are closed
// forms. For fixed (scale, minimum) the nearest codes are best. The search alternates the two (Lloyd 1982)
// from many starting ranges, because the error has many local minima.
//
// Weights are centred on their weighted mean so that no large terms cancel in the sums. In centred
// coordinates x the minimum is `minimum + mean`, called offset here: x ~ scale * q - offset.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_AFFINE_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_AFFINE_SEARCH_INL_H_
#undef TESSERA_CODECS_AFFINE_SEARCH_INL_H_
#else
#define TESSERA_CODECS_AFFINE_SEARCH_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <span>

#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// A starting range of the search: how many code steps it ends inside the lowest and the highest weight.
struct AffineStart {
  float low, high;
};

/// A square grid of starting ranges, kSide * kSide of them, from `first` in steps of `step` at both ends.
template <std::size_t kSide>
constexpr std::array<AffineStart, kSide * kSide> affine_starts(float first, float step) {
  std::array<AffineStart, kSide * kSide> starts{};
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::size_t row = i / kSide;
    starts[i] = {first + step * static_cast<float>(row), first + step * static_cast<float>(i % kSide)};
  }
  return starts;
}

/// One centred sub-block of a tile. Columns are kLanes apart.
struct AffineSubBlock {
  const float* x;           ///< [weights][kLanes] centred
  const float* weighted_x;  ///< [weights][kLanes] importance * x
  const float* importance;  ///< [weights]
  LaneVector mean;
  LaneVector importance_sum;
  LaneVector inverse_importance_sum;
};

/// What a choice of codes sums up to, every term times its importance.
struct AffineSums {
  LaneVector q, qq, xq;
};

/// A scale and an offset (centred minimum) with the error of the codes they were solved for, less the error
/// at scale 0 and offset 0 (so it is negative), and what the error near by depends on.
struct AffineSolution {
  LaneVector scale, offset, error;
  LaneVector mean_code;  ///< the best offset moves by this much per unit of scale
  LaneVector curvature;  ///< of the error in scale when the offset follows
};

/// The sums of the nearest codes of x ~ scale * q - offset, from inverse = 1 / scale and shift = offset /
/// scale.
template <std::size_t kWeights, int kMaxCode>
HWY_INLINE AffineSums affine_sums(const AffineSubBlock& block, LaneVector inverse, LaneVector shift) {
  const LaneTag tag;
  AffineSums sums{hn::Zero(tag), hn::Zero(tag), hn::Zero(tag)};
  for (std::size_t i = 0; i < kWeights; ++i) {
    const auto exact = hn::MulAdd(hn::Load(tag, block.x + i * kLanes), inverse, shift);
    const auto q = round_and_clamp(exact, 0.0f, static_cast<float>(kMaxCode));
    const auto weighted_q = hn::Mul(hn::Set(tag, block.importance[i]), q);
    sums.q = hn::Add(sums.q, weighted_q);
    sums.qq = hn::MulAdd(weighted_q, q, sums.qq);
    sums.xq = hn::MulAdd(hn::Load(tag, block.weighted_x + i * kLanes), q, sums.xq);
  }
  return sums;
}

/// The error of codes with these sums at (scale, offset), less the error at (0, 0).
HWY_INLINE LaneVector affine_error(const AffineSubBlock& block, const AffineSums& sums, LaneVector scale,
                                   LaneVector offset) {
  const auto two = hn::Set(LaneTag(), 2.0f);
  const auto by_scale =
      hn::Mul(scale, hn::NegMulAdd(two, hn::MulAdd(offset, sums.q, sums.xq), hn::Mul(scale, sums.qq)));
  return hn::MulAdd(hn::Mul(offset, offset), block.importance_sum, by_scale);
}

/// The joint least-squares scale and offset for codes with these sums, under minimum >= 0.
HWY_INLINE AffineSolution solve_affine(const AffineSubBlock& block, const AffineSums& sums) {
  AffineSolution solution;
  solution.mean_code = hn::Mul(sums.q, block.inverse_importance_sum);
  solution.curvature = hn::NegMulAdd(sums.q, solution.mean_code, sums.qq);
  const auto free_scale = divide_or_zero(sums.xq, solution.curvature);
  const auto free_offset = hn::Mul(free_scale, solution.mean_code);
  const auto bound = hn::Lt(free_offset, block.mean);
  const auto bound_scale = divide_or_zero(hn::MulAdd(block.mean, sums.q, sums.xq), sums.qq);
  solution.scale = hn::Max(hn::IfThenElse(bound, bound_scale, free_scale), hn::Zero(LaneTag()));
  solution.offset = hn::IfThenElse(bound, block.mean, free_offset);
  solution.error = affine_error(block, sums, solution.scale, solution.offset);
  return solution;
}

HWY_INLINE void keep_better(const AffineSolution& candidate, AffineSolution& best) {
  const auto better = hn::Lt(candidate.error, best.error);
  best.scale = hn::IfThenElse(better, candidate.scale, best.scale);
  best.offset = hn::IfThenElse(better, candidate.offset, best.offset);
  best.error = hn::IfThenElse(better, candidate.error, best.error);
  best.mean_code = hn::IfThenElse(better, candidate.mean_code, best.mean_code);
  best.curvature = hn::IfThenElse(better, candidate.curvature, best.curvature);
}

/// Improves on `best` from the codes of x ~ scale * q - offset by `steps` alternations.
template <std::size_t kWeights, int kMaxCode>
HWY_INLINE void alternate(const AffineSubBlock& block, LaneVector scale, LaneVector offset, int steps,
                          AffineSolution& best) {
  for (int step = 0; step < steps; ++step) {
    const auto inverse = inverse_or_zero(scale);
    const auto solution =
        solve_affine(block, affine_sums<kWeights, kMaxCode>(block, inverse, hn::Mul(offset, inverse)));
    keep_better(solution, best);
    scale = solution.scale;
    offset = solution.offset;
  }
}

/// Alternates from the range low..high with its ends moved inwards by the code steps of every start.
template <std::size_t kWeights, int kMaxCode>
void search_around(const AffineSubBlock& block, LaneVector low, LaneVector step,
                   std::span<const AffineStart> starts, int steps, AffineSolution& best) {
  const LaneTag tag;
  for (const AffineStart& start : starts) {
    const auto scale = hn::Mul(step, hn::Set(tag, (kMaxCode - start.low - start.high) / kMaxCode));
    const auto offset = hn::Neg(hn::MulAdd(step, hn::Set(tag, start.low), low));
    alternate<kWeights, kMaxCode>(block, scale, offset, steps, best);
  }
}

/// The best scale and offset of the sub-block, each free to take any value: from all starts, then from
/// perturbations of the best found.
template <std::size_t kWeights, int kMaxCode, class Effort>
AffineSolution search_affine(const AffineSubBlock& block) {
  const LaneTag tag;
  auto low = hn::Load(tag, block.x), high = low;
  for (std::size_t i = 1; i < kWeights; ++i) {
    const auto x = hn::Load(tag, block.x + i * kLanes);
    low = hn::Min(low, x);
    high = hn::Max(high, x);
  }
  low = hn::Min(low, hn::Neg(block.mean));
  const auto step = hn::Mul(hn::Sub(high, low), hn::Set(tag, 1.0f / kMaxCode));
  AffineSolution best{hn::Zero(tag), hn::Max(block.mean, hn::Zero(tag)), hn::Zero(tag), hn::Zero(tag),
                      hn::Zero(tag)};
  best.error = hn::Mul(hn::Mul(best.offset, best.offset), block.importance_sum);
  search_around<kWeights, kMaxCode>(block, low, step, Effort::kStarts, Effort::kAlternations, best);
  search_around<kWeights, kMaxCode>(block, hn::Neg(best.offset), best.scale, Effort::kPerturbations,
                                    Effort::kAlternations, best);
  return best;
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
