#include "foundation/codecs/fp4.h"

#include <array>

namespace tessera::codecs {

std::span<const Codec* const> fp4_codecs() {
  static const std::array<const Codec*, 2> all{&mxfp4_codec(), &nvfp4_codec()};
  return all;
}

}  // namespace tessera::codecs
