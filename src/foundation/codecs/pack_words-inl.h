// Packing codes into the little-endian 32-bit words of all lanes' blocks at once (Format::pack_words).
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_PACK_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_PACK_WORDS_INL_H_
#undef TESSERA_CODECS_PACK_WORDS_INL_H_
#else
#define TESSERA_CODECS_PACK_WORDS_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using WordTag = hn::RebindToUnsigned<LaneTag>;
using WordVector = hn::Vec<WordTag>;

/// Codes `first` to `first + kCount - 1`, each below 2^kBits, the first in the lowest bits.
template <int kBits, std::size_t kCount>
WordVector join_codes(const std::int32_t* codes, std::size_t first) {
  const WordTag d;
  const auto load = [&](std::size_t i) HWY_ATTR {
    return hn::BitCast(d, hn::Load(LaneIntTag(), codes + (first + i) * kLanes));
  };
  WordVector word = load(kCount - 1);
  for (std::size_t i = kCount - 1; i-- > 0;) word = hn::Or(hn::ShiftLeft<kBits>(word), load(i));
  return word;
}

/// Word k of the 16-byte nibble array of a block of 32: byte i holds the low four bits of code i below and
/// those of code i + 16 above.
inline WordVector join_nibbles(const std::int32_t* codes, std::size_t k) {
  const auto mask = hn::Set(WordTag(), 0x0F0F0F0Fu);
  const auto below = hn::And(join_codes<8, 4>(codes, 4 * k), mask);
  const auto above = hn::And(join_codes<8, 4>(codes, 4 * k + 16), mask);
  return hn::Or(below, hn::ShiftLeft<4>(above));
}

/// The fifth bits of 32 codes, code i's as bit i.
inline WordVector join_fifth_bits(const std::int32_t* codes) {
  const WordTag d;
  WordVector word = hn::Zero(d);
  for (std::size_t i = 32; i-- > 0;) {
    const auto code = hn::BitCast(d, hn::Load(LaneIntTag(), codes + i * kLanes));
    word = hn::Or(hn::Add(word, word), hn::ShiftRight<4>(code));
  }
  return word;
}

/// Writes a 16-bit field and, right behind it, `parts` of 32 bits: kParts + 1 words.
template <std::size_t kParts>
void write_after_16_bits(WordVector field, const std::array<WordVector, kParts>& parts,
                         std::uint32_t* words) {
  const WordTag d;
  WordVector carry = field;
  for (std::size_t i = 0; i < kParts; ++i) {
    hn::Store(hn::Or(carry, hn::ShiftLeft<16>(parts[i])), d, words + i * kLanes);
    carry = hn::ShiftRight<16>(parts[i]);
  }
  hn::Store(carry, d, words + kParts * kLanes);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
