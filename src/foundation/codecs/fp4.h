// MXFP4 and NVFP4: 4-bit floats (E2M1) with a small float as scale (BLOCKS.md section 5).
#pragma once

#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

const Codec& mxfp4_codec();
const Codec& nvfp4_codec();

std::span<const Codec* const> fp4_codecs();

}  // namespace tessera::codecs
