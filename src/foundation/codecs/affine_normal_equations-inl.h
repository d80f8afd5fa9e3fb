// The units d and dmin of a super-block y = (d * sc[s]) * q - dmin * mn[s] by weighted least squares, all
// codes q and integers sc, mn being given:
//
//   [scale_scale   -scale_minimum  ] [d   ]   [scale_x  ]
//   [scale_minimum -minimum_minimum] [dmin] = [minimum_x]
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_AFFINE_NORMAL_EQUATIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_AFFINE_NORMAL_EQUATIONS_INL_H_
#undef TESSERA_CODECS_AFFINE_NORMAL_EQUATIONS_INL_H_
#else
#define TESSERA_CODECS_AFFINE_NORMAL_EQUATIONS_INL_H_
#endif

#include <hwy/highway.h>

#include "foundation/codecs/affine_search-inl.h"
#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// A sub-block whose codes and integers are chosen.
struct ChosenSubBlock {
  LaneVector sc, mn;
  AffineSums sums;  ///< of its codes
  LaneVector mean;  ///< weighted, of its weights
  LaneVector importance_sum;
};

class AffineNormalEquations {
 public:
  // Not by initializers of the members: a constructor without a body is not compiled for the SIMD target.
  AffineNormalEquations() {
    const auto zero = hn::Zero(LaneTag());
    scale_scale_ = scale_minimum_ = minimum_minimum_ = scale_x_ = minimum_x_ = zero;
  }

  void add(const ChosenSubBlock& block) {
    const auto scaled_q = hn::Mul(block.sc, block.sums.q);
    const auto weighted_minimum = hn::Mul(block.mn, block.importance_sum);
    scale_scale_ = hn::MulAdd(hn::Mul(block.sc, block.sc), block.sums.qq, scale_scale_);
    scale_minimum_ = hn::MulAdd(scaled_q, block.mn, scale_minimum_);
    minimum_minimum_ = hn::MulAdd(weighted_minimum, block.mn, minimum_minimum_);
    scale_x_ = hn::Add(scale_x_, hn::MulAdd(block.sc, block.sums.xq, hn::Mul(scaled_q, block.mean)));
    minimum_x_ = hn::MulAdd(weighted_minimum, block.mean, minimum_x_);
  }

  /// Where all minima are zero, dmin stays what it is.
  void solve(LaneVector& d, LaneVector& dmin) const {
    const auto determinant =
        hn::NegMulAdd(scale_minimum_, scale_minimum_, hn::Mul(scale_scale_, minimum_minimum_));
    const auto d_part = hn::NegMulAdd(scale_minimum_, minimum_x_, hn::Mul(scale_x_, minimum_minimum_));
    const auto dmin_part = hn::NegMulAdd(scale_scale_, minimum_x_, hn::Mul(scale_minimum_, scale_x_));
    const auto solvable = hn::Gt(determinant, hn::Zero(LaneTag()));
    d = hn::IfThenElse(solvable, hn::Div(d_part, determinant), divide_or_zero(scale_x_, scale_scale_));
    dmin = hn::IfThenElse(solvable, hn::Div(dmin_part, determinant), dmin);
  }

 private:
  LaneVector scale_scale_, scale_minimum_, minimum_minimum_, scale_x_, minimum_x_;
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
