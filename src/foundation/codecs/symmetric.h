// Q2_0, Q4_0, Q5_0 and Q8_0: one half scale per block, weights are integers times it (BLOCKS.md section 5).
#pragma once

#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

std::span<const Codec* const> symmetric_codecs();

}  // namespace tessera::codecs
