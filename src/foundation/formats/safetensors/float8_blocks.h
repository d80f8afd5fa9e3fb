// 8-bit float weights with block scales, as DeepSeek-V3 ships them: a code is E4M3 (sign, 4 exponent bits
// with bias 7, 3 mantissa bits; no infinities, S.1111.111 is NaN), and each tile of 128 x 128 weights has one
// multiplier in a tensor NAME_scale_inv of shape [ceil(rows / 128), ceil(columns / 128)]; tiles at the edges
// are partial.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "foundation/tensor/element_type.h"

namespace tessera::safetensors {

constexpr std::uint64_t kFloat8Tile = 128;
constexpr std::string_view kFloat8ScaleSuffix = "_scale_inv";

/// Tiles along `size` weights.
constexpr std::uint64_t float8_tiles(std::uint64_t size) { return (size + kFloat8Tile - 1) / kFloat8Tile; }

/// The multipliers of one tensor, as they are stored.
struct Float8Scales {
  std::span<const std::byte>
      bytes;         ///< [float8_tiles(rows), float8_tiles(columns)], row after row, unaligned
  ElementType type;  ///< F32 or BF16
};

/// Decodes whole rows: weights[r, c] = value(codes[r, c]) * scale of its tile. `codes` and `weights` hold the
/// same number of rows of `columns` weights, the first of them row `first_row` of the tensor.
void decode_float8_rows(std::span<const std::byte> codes, std::uint64_t columns, std::uint64_t first_row,
                        const Float8Scales& scales, std::span<float> weights);

}  // namespace tessera::safetensors
