// The K types: super-blocks of 256 weights with quantized sub-block scales (BLOCKS.md section 6). One file
// per type.
#pragma once

#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

const Codec& q2_k_codec();
const Codec& q3_k_codec();
const Codec& q4_k_codec();
const Codec& q5_k_codec();
const Codec& q6_k_codec();

std::span<const Codec* const> k_quant_codecs();

}  // namespace tessera::codecs
