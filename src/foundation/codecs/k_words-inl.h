// The bit arrays that the K types are made of, as little-endian 32-bit words of all lanes at once.
//
// Every array spreads 128 or 256 consecutive codes over bytes 32 weights apart, so that byte l of a group of
// 32 bytes holds bits of the weights l, l + 32, l + 64 ... Word k of an array is its bytes 4k to 4k + 3.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_K_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_K_WORDS_INL_H_
#undef TESSERA_CODECS_K_WORDS_INL_H_
#else
#define TESSERA_CODECS_K_WORDS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "foundation/codecs/half-inl.h"
#include "foundation/codecs/pack_words-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// Bits kFirst to kFirst + kBits - 1 of the codes first to first + 3, in the low bits of the four bytes.
template <int kFirst, int kBits>
WordVector bits_of_four(const std::int32_t* codes, std::size_t first) {
  const auto mask = hn::Set(WordTag(), ((1u << kBits) - 1) * 0x01010101u);
  return hn::And(hn::ShiftRight<kFirst>(join_codes<8, 4>(codes, first)), mask);
}

/// kCount fields of kBits bits per byte: byte l holds, from the lowest bits up, the bits kFirst.. of the
/// codes first + l + 32 * kStep * i, i = 0 .. kCount - 1.
template <int kFirst, int kBits, int kCount, int kStep = 1>
WordVector spread_bits(const std::int32_t* codes, std::size_t first) {
  WordVector word = bits_of_four<kFirst, kBits>(codes, first + 32 * kStep * (kCount - 1));
  for (std::size_t i = kCount - 1; i-- > 0;) {
    word = hn::Or(hn::ShiftLeft<kBits>(word), bits_of_four<kFirst, kBits>(codes, first + 32 * kStep * i));
  }
  return word;
}

/// Word k (0..15) of the 64 bytes that hold two bits of each of 256 codes: those of 128 codes per 32 bytes.
template <int kFirst>
WordVector two_bit_word(const std::int32_t* codes, std::size_t k) {
  return spread_bits<kFirst, 2, 4>(codes, 128 * (k / 8) + 4 * (k % 8));
}

/// Word k (0..7) of the 32 bytes that hold bit kBit of each of 256 codes.
template <int kBit>
WordVector one_bit_word(const std::int32_t* codes, std::size_t k) {
  return spread_bits<kBit, 1, 8>(codes, 4 * k);
}

/// Two floats that are halves, the first in the low bits.
inline WordVector two_halves(const float* low, const float* high) {
  const LaneTag tag;
  return hn::Or(half_bits(tag, hn::Load(tag, low)), hn::ShiftLeft<16>(half_bits(tag, hn::Load(tag, high))));
}

inline void store_word(WordVector word, std::size_t k, std::uint32_t* words) {
  hn::Store(word, WordTag(), words + k * kLanes);
}

/// The three words of eight six-bit pairs (six_bit_pairs.h).
inline void store_six_bit_pairs(const std::int32_t* scales, const std::int32_t* minima, std::size_t k,
                                std::uint32_t* words) {
  const auto low = hn::ShiftLeft<4>(bits_of_four<0, 4>(minima, 4));
  const auto scale_top = hn::ShiftLeft<6>(bits_of_four<4, 2>(scales, 4));
  const auto minimum_top = hn::ShiftLeft<6>(bits_of_four<4, 2>(minima, 4));
  store_word(hn::Or(bits_of_four<0, 6>(scales, 0), scale_top), k, words);
  store_word(hn::Or(bits_of_four<0, 6>(minima, 0), minimum_top), k + 1, words);
  store_word(hn::Or(bits_of_four<0, 4>(scales, 4), low), k + 2, words);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
