#include "foundation/codecs/iq4.h"

#include <array>

namespace tessera::codecs {

std::span<const Codec* const> iq4_codecs() {
  static const std::array<const Codec*, 2> all{&iq4_nl_codec(), &iq4_xs_codec()};
  return all;
}

}  // namespace tessera::codecs
