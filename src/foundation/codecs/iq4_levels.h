// The 16 levels of IQ4_NL and IQ4_XS (shared/formats/codebooks/iq4nl_values.txt).
#pragma once

#include <array>
#include <cstdint>

namespace tessera::codecs {

inline constexpr std::array<std::int8_t, 16> kIq4Levels{-127, -104, -83, -65, -49, -35, -22, -10,
                                                        1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace tessera::codecs
