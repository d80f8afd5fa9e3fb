#include "foundation/codecs/k_quants.h"

#include <array>

namespace tessera::codecs {

std::span<const Codec* const> k_quant_codecs() {
  static const std::array<const Codec*, 5> all{&q2_k_codec(), &q3_k_codec(), &q4_k_codec(), &q5_k_codec(),
                                               &q6_k_codec()};
  return all;
}

}  // namespace tessera::codecs
