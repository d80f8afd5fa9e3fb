#include "foundation/codecs/decode_finite.h"

#include <fmt/format.h>

#include "foundation/base/error.h"
#include "foundation/codecs/codec.h"
#include "foundation/kernels/squared_error.h"

namespace tessera::codecs {

void decode_finite(const WeightSource& source, std::size_t tensor, std::uint64_t first_weight,
                   std::span<const std::byte> stored, std::span<float> weights) {
  const auto& descriptor = source.tensors()[tensor];
  codec_for(descriptor.type).decode(stored, weights);
  const auto bad = kernels::find_non_finite(weights);
  if (!bad) return;
  const std::uint64_t index = first_weight + *bad;
  throw BadFileError({.file = source.name(), .tensor = descriptor.name},
                     fmt::format("weight at row {}, column {} is {}; the model is damaged",
                                 index / descriptor.columns(), index % descriptor.columns(), weights[*bad]));
}

}  // namespace tessera::codecs
