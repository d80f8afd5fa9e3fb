// The values of the 16 FP4 codes, twice the E2M1 value so that they are integers
// (shared/formats/codebooks/fp4_values.txt). Code 8, minus zero, stands for plain zero.
#pragma once

#include <array>

namespace tessera::codecs {

inline constexpr std::array<float, 16> kFp4Levels{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// The largest level; larger magnitudes are clipped to it.
inline constexpr float kFp4LargestLevel = 12.0f;

}  // namespace tessera::codecs
