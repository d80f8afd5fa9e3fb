// FNV-1a with 64 bits: tells whether two texts are the same in practice. Not for adversaries.
#pragma once

#include <cstdint>
#include <string_view>

namespace tessera {

constexpr std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001B3u;
  }
  return hash;
}

}  // namespace tessera
