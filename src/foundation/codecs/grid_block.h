// A block of a codebook format with its fields unpacked: what layouts write to bytes and read back.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace tessera::codecs {

struct GridBlock {
  std::uint16_t half_scale = 0;               ///< d, as the bits of a half
  std::array<std::uint8_t, 16> sub_scales{};  ///< 0..15, one per sub-block
  std::array<std::uint32_t, 64>
      codes{};  ///< one per group: indices of its vectors, then one sign bit per weight
};

/// The eight sign bits of an octet whose field of seven bits leaves out the last: their parity is even.
constexpr std::uint32_t even_signs(std::uint32_t field) {
  return field | (static_cast<std::uint32_t>(std::popcount(field)) & 1u) << 7;
}

}  // namespace tessera::codecs
