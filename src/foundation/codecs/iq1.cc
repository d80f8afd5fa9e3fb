#include "foundation/codecs/iq1.h"

#include <array>

namespace tessera::codecs {

std::span<const Codec* const> iq1_codecs() {
  static const std::array<const Codec*, 2> all{&iq1_s_codec(), &iq1_m_codec()};
  return all;
}

}  // namespace tessera::codecs
