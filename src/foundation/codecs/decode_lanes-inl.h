// The steps that decoders of simple blocks share; here a lane is a weight, kDecodeLanes consecutive ones at a
// time.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_DECODE_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_DECODE_LANES_INL_H_
#undef TESSERA_CODECS_DECODE_LANES_INL_H_
#else
#define TESSERA_CODECS_DECODE_LANES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "foundation/tensor/float16.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// At most 16 lanes, so that a nibble array of 16 bytes is a whole number of vectors.
using DecodeTag = hn::CappedTag<float, 16>;
using CodeTag = hn::RebindToSigned<DecodeTag>;
using CodeVector = hn::Vec<CodeTag>;
inline constexpr std::size_t kDecodeLanes = hn::MaxLanes(DecodeTag());

inline std::uint32_t load_u32(const std::byte* from) {
  std::uint32_t value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

inline float load_half(const std::byte* from) {
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  return float_from_half(bits);
}

/// kDecodeLanes bytes as integers 0 to 255.
inline CodeVector load_bytes(const std::byte* from) {
  const hn::Rebind<std::uint8_t, DecodeTag> bytes;
  return hn::PromoteTo(CodeTag(), hn::LoadU(bytes, reinterpret_cast<const std::uint8_t*>(from)));
}

/// kDecodeLanes bytes as integers -128 to 127.
inline CodeVector load_signed_bytes(const std::byte* from) {
  const hn::Rebind<std::int8_t, DecodeTag> bytes;
  return hn::PromoteTo(CodeTag(), hn::LoadU(bytes, reinterpret_cast<const std::int8_t*>(from)));
}

inline CodeVector low_nibble(CodeVector byte) { return hn::And(byte, hn::Set(CodeTag(), 15)); }
inline CodeVector high_nibble(CodeVector byte) { return hn::ShiftRight<4>(byte); }

/// Lane i: field number first + i of `word`, which holds 32 / kBits fields from the lowest bits up.
template <int kBits>
CodeVector field_of_lane(std::uint32_t word, std::size_t first) {
  const hn::RebindToUnsigned<DecodeTag> d;
  const auto shift = hn::ShiftLeft<kBits / 2>(hn::Iota(d, static_cast<std::uint32_t>(first)));
  const auto fields = hn::Shr(hn::Set(d, word), shift);
  return hn::BitCast(CodeTag(), hn::And(fields, hn::Set(d, (1u << kBits) - 1)));
}

/// Lane i: bit first + i of `word`, as the fifth bit of a code (0 or 16).
inline CodeVector fifth_bits(std::uint32_t word, std::size_t first) {
  return hn::ShiftLeft<4>(field_of_lane<1>(word, first));
}

inline void store_scaled(CodeVector code, float scale, float* y) {
  const DecodeTag d;
  hn::StoreU(hn::Mul(hn::ConvertTo(d, code), hn::Set(d, scale)), d, y);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
