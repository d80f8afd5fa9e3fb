// Weights of a model as floats, with damage refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "foundation/tensor/weight_source.h"

namespace tessera::codecs {

/// Decodes whole blocks of a tensor of `source`, as stored there, from its weight `first_weight` on. Throws
/// BadFileError naming tensor, row and column of a NaN or infinity.
void decode_finite(const WeightSource& source, std::size_t tensor, std::uint64_t first_weight,
                   std::span<const std::byte> stored, std::span<float> weights);

}  // namespace tessera::codecs
