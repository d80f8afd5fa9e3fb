// Q4_1 and Q5_1: a half scale and a half offset per block of 32 (BLOCKS.md section 5).
#pragma once

#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

std::span<const Codec* const> affine_codecs();

}  // namespace tessera::codecs
