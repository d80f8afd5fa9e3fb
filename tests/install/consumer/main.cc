// Encodes a row as F16 and decodes it again, through the installed library alone.
#include <array>
#include <cstdio>

#include "foundation/codecs/codec.h"

int main() {
  const auto& codec = tessera::codecs::codec_for(tessera::ElementType::F16);
  const std::array<float, 4> weights{0.5f, -1.0f, 2.0f, 0.0f};
  std::array<std::byte, 8> blocks{};
  codec.encode({.weights = weights, .columns = 4, .importance = {}}, blocks);
  std::array<float, 4> decoded{};
  codec.decode(blocks, decoded);
  std::printf("tessera %s: %s\n", TESSERA_VERSION,
              decoded == weights ? "round trip exact" : "round trip differs");
  return decoded == weights ? 0 : 1;
}
