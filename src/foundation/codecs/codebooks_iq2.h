// The codebooks of the IQ2 formats: vectors of eight magnitudes, each one of three levels.
//
// An entry packs the numbers of its eight levels into 16 bits: weight i has level (entry >> 2*i) & 3.
#pragma once

#include <array>
#include <cstdint>

namespace tessera::codecs {

inline constexpr std::array<float, 3> kIq2Levels = {8, 25, 43};

extern const std::array<std::uint16_t, 256> kIq2XxsCodebook;
extern const std::array<std::uint16_t, 512> kIq2XsCodebook;
extern const std::array<std::uint16_t, 1024> kIq2SCodebook;

}  // namespace tessera::codecs
