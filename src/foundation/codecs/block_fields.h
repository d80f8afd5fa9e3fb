// Fields of packed blocks, which are only 2-byte aligned or less: always copied, never read through a cast
// pointer.
#pragma once

#include <cstdint>
#include <cstring>

#include "foundation/tensor/float16.h"

namespace tessera::codecs {

inline float load_half(const std::uint8_t* bytes) {
  std::uint16_t half;
  std::memcpy(&half, bytes, 2);
  return float_from_half(half);
}

inline void store_half(std::uint16_t half, std::uint8_t* bytes) { std::memcpy(bytes, &half, 2); }

}  // namespace tessera::codecs
