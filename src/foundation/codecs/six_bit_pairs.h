// The twelve bytes of eight six-bit (scale, minimum) pairs of Q4_K and Q5_K (BLOCKS.md section 6).
//
//            low six bits (or low nibble)            the bits above
//   s        scale of sub-block s                    bits 4, 5 of the scale of sub-block s + 4
//   4 + s    minimum of sub-block s                  bits 4, 5 of the minimum of sub-block s + 4
//   8 + s    bits 0..3 of the scale of s + 4         bits 0..3 of the minimum of s + 4
//
// with s = 0..3; the last four bytes are split into nibbles.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tessera::codecs {

struct SixBitPairs {
  std::array<std::uint8_t, 8> scale{};    ///< 0..63
  std::array<std::uint8_t, 8> minimum{};  ///< 0..63
};

inline SixBitPairs unpack_six_bit_pairs(const std::uint8_t* bytes) {
  SixBitPairs pairs;
  for (std::size_t s = 0; s < 4; ++s) {
    pairs.scale[s] = bytes[s] & 63u;
    pairs.minimum[s] = bytes[s + 4] & 63u;
    pairs.scale[s + 4] = static_cast<std::uint8_t>((bytes[s + 8] & 15u) | (bytes[s] >> 6 << 4));
    pairs.minimum[s + 4] = static_cast<std::uint8_t>((bytes[s + 8] >> 4) | (bytes[s + 4] >> 6 << 4));
  }
  return pairs;
}

}  // namespace tessera::codecs
