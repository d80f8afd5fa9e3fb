// The codebooks of the IQ3 formats: vectors of four magnitudes, each one of eight levels.
//
// An entry packs the numbers of its four levels into 12 bits: weight i has level (entry >> 3*i) & 7.
#pragma once

#include <array>
#include <cstdint>

namespace tessera::codecs {

inline constexpr std::array<float, 8> kIq3XxsLevels = {4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr std::array<float, 8> kIq3SLevels = {1, 3, 5, 7, 9, 11, 13, 15};

extern const std::array<std::uint16_t, 256> kIq3XxsCodebook;
extern const std::array<std::uint16_t, 512> kIq3SCodebook;

}  // namespace tessera::codecs
