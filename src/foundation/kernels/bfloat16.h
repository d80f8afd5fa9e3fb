// Rows of float32 to and from bfloat16, the upper half of a float32's bits.
#pragma once

#include <cstdint>
#include <span>

namespace tessera::kernels {

/// Rounds to nearest even, subnormals included; overflow becomes infinity, NaN stays a (quiet) NaN. Equals
/// bfloat16_from_float of foundation/tensor/float16.h bit for bit. The spans are of equal size.
void to_bfloat16(std::span<const float> values, std::span<std::uint16_t> result);

/// Exact. The spans are of equal size.
void to_float(std::span<const std::uint16_t> values, std::span<float> result);

}  // namespace tessera::kernels
