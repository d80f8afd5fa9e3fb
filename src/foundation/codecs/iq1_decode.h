// What decoding and packing IQ1_S and IQ1_M share: grid entries as bytes, and ternary numbers as grid
// indices.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "foundation/codecs/iq1_grid.h"

namespace tessera::codecs {

/// The eight ternary values of each grid entry.
constexpr std::array<std::array<std::int8_t, 8>, kIq1GridSize> make_iq1_entries() {
  std::array<std::array<std::int8_t, 8>, kIq1GridSize> entries{};
  for (std::size_t index = 0; index < kIq1GridSize; ++index) {
    std::uint32_t number = kIq1Numbers[index];
    for (std::size_t i = 0; i < 8; ++i, number /= 3) {
      entries[index][i] = static_cast<std::int8_t>(static_cast<int>(number % 3) - 1);
    }
  }
  return entries;
}

inline constexpr auto kIq1Entries = make_iq1_entries();

/// The grid index of each ternary number; numbers outside of the grid have that of the next entry.
constexpr std::array<std::uint16_t, kTernaryVectors> make_iq1_indices() {
  std::array<std::uint16_t, kTernaryVectors> indices{};
  std::uint16_t index = 0;
  for (std::size_t n = 0; n < kTernaryVectors; ++n) {
    indices[n] = index;
    if (in_iq1_grid(n)) ++index;
  }
  return indices;
}

inline constexpr auto kIq1Indices = make_iq1_indices();

inline std::uint32_t iq1_index(std::size_t number) { return kIq1Indices[number]; }

inline void decode_iq1_octet(std::size_t index, float scale, float shift, float* y) {
  for (std::size_t i = 0; i < 8; ++i) y[i] = scale * (static_cast<float>(kIq1Entries[index][i]) + shift);
}

}  // namespace tessera::codecs
