// F32, F16 and BF16: one weight per block (BLOCKS.md section 4).
#pragma once

#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

std::span<const Codec* const> plain_codecs();

}  // namespace tessera::codecs
