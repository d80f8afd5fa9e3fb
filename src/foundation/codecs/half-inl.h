// float32 to IEEE binary16 in SIMD lanes: the vector twins of float16.h, equal to it in every bit on every
// target.
//
// Highway's own DemoteTo to float16 truncates on emulated targets, hence integer arithmetic here.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_HALF_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_HALF_INL_H_
#undef TESSERA_CODECS_HALF_INL_H_
#else
#define TESSERA_CODECS_HALF_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr float kLargestHalf = 65504.0f;
inline constexpr float kSmallestNormalHalf = 0x1p-14f;
inline constexpr float kSmallestHalf = 0x1p-24f;

/// The bits of the nearest half (ties to even) of every lane, in the low 16 bits; overflow gives infinity and
/// a NaN stays NaN, as half_from_float does.
template <class D>
hn::Vec<hn::RebindToUnsigned<D>> half_bits(D d, hn::Vec<D> value) {
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const auto bits = hn::BitCast(du, value);
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000u));
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
  const auto signed_magnitude = hn::BitCast(di, magnitude);
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1u));
  const auto normal = hn::ShiftRight<13>(hn::Add(hn::Add(magnitude, odd), hn::Set(du, 0xFFFu - 0x38000000u)));
  // Adding 0.5 moves the half's last subnormal bit to the float's last bit, so the addition itself rounds.
  const auto shifted = hn::BitCast(du, hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5f)));
  const auto subnormal = hn::Sub(shifted, hn::Set(du, 0x3F000000u));
  auto half = hn::IfThenElse(hn::RebindMask(du, hn::Lt(signed_magnitude, hn::Set(di, 0x38800000))), subnormal,
                             normal);
  const auto overflows = hn::Gt(signed_magnitude, hn::Set(di, 0x477FEFFF));
  half = hn::IfThenElse(hn::RebindMask(du, overflows), hn::Set(du, 0x7C00u), half);
  const auto is_nan = hn::Gt(signed_magnitude, hn::Set(di, 0x7F800000));
  half = hn::IfThenElse(hn::RebindMask(du, is_nan), hn::Set(du, 0x7E00u), half);
  return hn::Or(half, sign);
}

/// The nearest finite half of every (non-NaN) lane, as float: what a stored scale decodes to.
template <class D>
hn::Vec<D> round_to_half(D d, hn::Vec<D> value) {
  const hn::RebindToUnsigned<D> du;
  const auto magnitude = hn::Min(hn::Abs(value), hn::Set(d, kLargestHalf));
  const auto bits = hn::BitCast(du, magnitude);
  const auto odd = hn::And(hn::ShiftRight<13>(bits), hn::Set(du, 1u));
  const auto rounded = hn::And(hn::Add(hn::Add(bits, odd), hn::Set(du, 0xFFFu)), hn::Set(du, 0xFFFFE000u));
  const auto half = hn::Set(d, 0.5f);
  const auto subnormal = hn::Sub(hn::Add(magnitude, half), half);
  const auto is_subnormal = hn::Lt(magnitude, hn::Set(d, kSmallestNormalHalf));
  return hn::CopySign(hn::IfThenElse(is_subnormal, subnormal, hn::BitCast(d, rounded)), value);
}

/// The value of a finite half, whose bits are the low 16.
template <class D>
hn::Vec<D> half_to_float(D d, hn::Vec<hn::RebindToUnsigned<D>> bits) {
  const hn::RebindToUnsigned<D> du;
  const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7FFFu)));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
  // As float bits the exponent is 112 too small, also of subnormals.
  const auto value = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112f));
  return hn::Or(value, hn::BitCast(d, sign));
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
