// e^x for float32 lanes: at most 1 unit in the last place from the exact value where it is a normal number.
//
// x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite's reduction in two parts), e^r by a polynomial of
// degree 6 whose relative error is at most 3.1e-9 (minimax, by Remez's exchange), times 2^n. Results that
// would be subnormal are 0, as they would cost a hundred cycles each in the sums that follow.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_KERNELS_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_KERNELS_EXP_INL_H_
#undef TESSERA_KERNELS_EXP_INL_H_
#else
#define TESSERA_KERNELS_EXP_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

/// Below it e^x would be subnormal.
constexpr float kSmallestExponent = -87.33f;

/// e^x; 0 for x < smallest >= kSmallestExponent, e^88 for x above 88, NaN for NaN.
HWY_INLINE Vector exp_lanes(Vector x, float smallest = kSmallestExponent) {
  const Tag d;
  const hn::RebindToUnsigned<Tag> bits;
  constexpr float kLargest = 88.0f;
  const auto bounded = hn::IfThenElse(hn::Gt(x, hn::Set(d, kLargest)), hn::Set(d, kLargest), x);

  // Adding 1.5 * 2^23 rounds to an integer in the lowest bits of the sum; 127 more is the exponent's bias.
  const auto shift = hn::Set(d, 0x1.8p23f + 127);
  const auto shifted = hn::MulAdd(bounded, hn::Set(d, 0x1.715476p0f), shift);
  const auto n = hn::Sub(shifted, shift);
  const auto power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(bits, shifted)));
  auto r = hn::NegMulAdd(n, hn::Set(d, 0x1.62e4p-1f), bounded);  // 15 bits: n times it is exact
  r = hn::NegMulAdd(n, hn::Set(d, 0x1.7f7d1cp-20f), r);

  auto tail = hn::MulAdd(hn::Set(d, 0x1.6a23dp-10f), r, hn::Set(d, 0x1.123a2p-7f));
  tail = hn::MulAdd(tail, r, hn::Set(d, 0x1.5558f2p-5f));
  tail = hn::MulAdd(tail, r, hn::Set(d, 0x1.555492p-3f));
  tail = hn::MulAdd(tail, r, hn::Set(d, 0x1.fffffcp-2f));
  const auto e_to_r = hn::Add(hn::MulAdd(tail, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  // A NaN compares as false and so passes through the product.
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, smallest)), hn::Mul(e_to_r, power));
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
