#include "foundation/formats/safetensors/float8_blocks.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <limits>

#include "foundation/tensor/float16.h"

namespace tessera::safetensors {
namespace {

constexpr float value_of_code(std::uint32_t code) {
  const std::uint32_t exponent = (code >> 3) & 15u;
  const std::uint32_t mantissa = code & 7u;
  float magnitude = 0;
  if (exponent == 15 && mantissa == 7) {
    magnitude = std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = static_cast<float>(mantissa) * 0x1p-9f;
  } else {
    // The float with this exponent (bias 127 in place of 7) and mantissa.
    magnitude = std::bit_cast<float>(((exponent + 120u) << 23) | (mantissa << 20));
  }
  return code >= 128 ? -magnitude : magnitude;
}

constexpr auto kValues = [] {
  std::array<float, 256> values{};
  for (std::uint32_t code = 0; code < values.size(); ++code) values[code] = value_of_code(code);
  return values;
}();

float read_scale(const Float8Scales& scales, std::uint64_t index) {
  if (scales.type == ElementType::F32) {
    float scale = 0;
    std::memcpy(&scale, scales.bytes.data() + index * sizeof scale, sizeof scale);
    return scale;
  }
  assert(scales.type == ElementType::BF16);
  std::uint16_t scale = 0;
  std::memcpy(&scale, scales.bytes.data() + index * sizeof scale, sizeof scale);
  return float_from_bfloat16(scale);
}

}  // namespace

void decode_float8_rows(std::span<const std::byte> codes, std::uint64_t columns, std::uint64_t first_row,
                        const Float8Scales& scales, std::span<float> weights) {
  assert(codes.size() == weights.size() && codes.size() % columns == 0);
  const std::uint64_t tiles = float8_tiles(columns);
  for (std::uint64_t row = 0; row < codes.size() / columns; ++row) {
    const std::uint64_t tile_row = (first_row + row) / kFloat8Tile;
    for (std::uint64_t tile = 0; tile < tiles; ++tile) {
      const float scale = read_scale(scales, tile_row * tiles + tile);
      const std::uint64_t begin = row * columns + tile * kFloat8Tile;
      const std::uint64_t end = std::min(begin + kFloat8Tile, (row + 1) * columns);
      for (std::uint64_t i = begin; i < end; ++i)
        weights[i] = kValues[std::to_integer<std::uint32_t>(codes[i])] * scale;
    }
  }
}

}  // namespace tessera::safetensors
