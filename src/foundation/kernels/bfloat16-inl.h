// A vector of float32 to and from bfloat16, by integer arithmetic: the instructions made for it (AVX512-BF16)
// flush subnormals.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_KERNELS_BFLOAT16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_KERNELS_BFLOAT16_INL_H_
#undef TESSERA_KERNELS_BFLOAT16_INL_H_
#else
#define TESSERA_KERNELS_BFLOAT16_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

/// All lanes, from anywhere.
HWY_INLINE Vector load_bfloat16(const std::uint16_t* from) {
  const Tag d;
  const hn::RebindToUnsigned<Tag> bits;
  const hn::Rebind<std::uint16_t, Tag> halves;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(halves, from))));
}

/// All lanes, to anywhere: nearest even, NaN stays NaN.
HWY_INLINE void store_bfloat16(Vector value, std::uint16_t* to) {
  const hn::RebindToUnsigned<Tag> bits;
  const hn::RebindToSigned<Tag> integers;
  const hn::Rebind<std::uint16_t, Tag> halves;
  const auto word = hn::BitCast(bits, value);
  const auto odd = hn::And(hn::ShiftRight<16>(word), hn::Set(bits, 1u));
  const auto rounded = hn::Add(word, hn::Add(odd, hn::Set(bits, 0x7FFFu)));
  const auto quiet = hn::Or(word, hn::Set(bits, 0x400000u));
  const auto is_nan = hn::RebindMask(bits, hn::IsNaN(value));
  const auto upper = hn::ShiftRight<16>(hn::IfThenElse(is_nan, quiet, rounded));
  // At most 65535, so that the saturating demotion keeps every bit.
  hn::StoreU(hn::DemoteTo(halves, hn::BitCast(integers, upper)), halves, to);
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
