// IQ4_NL and IQ4_XS: 4-bit codes into 16 non-uniform levels (BLOCKS.md sections 5 and 7).
#pragma once

#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

const Codec& iq4_nl_codec();
const Codec& iq4_xs_codec();

std::span<const Codec* const> iq4_codecs();

}  // namespace tessera::codecs
