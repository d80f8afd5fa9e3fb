// The IQ2 and IQ3 formats: codebooks of magnitudes, with signs (iq2_layouts.h, iq3_layouts.h).
#pragma once

#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

std::span<const Codec* const> grid_codecs();

}  // namespace tessera::codecs
