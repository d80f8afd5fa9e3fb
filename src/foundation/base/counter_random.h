// Random numbers by their place instead of their turn: what is drawn for one item does not depend on the
// order in which items are worked on, nor on who else draws.
//
// The mixing function is that of SplitMix64 (Steele, Lea, Flood 2014), applied once per coordinate.
#pragma once

#include <cstdint>

namespace tessera {

constexpr std::uint64_t mix_bits(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15u;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

/// Uniform in [0, 1) with 53 bits, by seed and two coordinates.
constexpr double uniform_at(std::uint64_t seed, std::uint64_t first, std::uint64_t second) {
  const std::uint64_t bits = mix_bits(mix_bits(mix_bits(seed) ^ first) ^ second);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace tessera
