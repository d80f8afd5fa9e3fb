// TQ1_0 and TQ2_0: -1, 0 or 1 times one half scale per block of 256 (BLOCKS.md section 8).
#pragma once

#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

std::span<const Codec* const> ternary_codecs();

}  // namespace tessera::codecs
