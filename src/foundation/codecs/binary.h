// Q1_0: plus or minus one half scale per block of 128 (BLOCKS.md section 5).
#pragma once

#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

std::span<const Codec* const> binary_codecs();

}  // namespace tessera::codecs
