// IQ1_S and IQ1_M: octets from a grid of ternary vectors, shifted by an eighth (BLOCKS.md section 7).
#pragma once

#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

const Codec& iq1_s_codec();
const Codec& iq1_m_codec();

std::span<const Codec* const> iq1_codecs();

}  // namespace tessera::codecs
