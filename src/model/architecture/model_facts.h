// The few facts about a model's shape on which quantization policy depends, read from GGUF metadata.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/tensor/tensor_descriptor.h"

namespace tessera::model {

struct ModelFacts {
  std::string architecture;  ///< general.architecture, e.g. "llama"
  std::uint32_t layer_count = 0;
  std::uint32_t query_heads = 1;      ///< of the first layer
  std::uint32_t key_value_heads = 1;  ///< of the first layer
  std::uint32_t experts = 0;          ///< 0: dense
  bool has_output = true;             ///< false: the token embedding serves as output matrix too
  std::uint32_t experts_used = 0;     ///< of a layer's routed experts, by one token

  /// Query heads that share one key/value head.
  std::uint32_t gqa() const { return key_value_heads == 0 ? 0 : query_heads / key_value_heads; }
};

/// Missing keys leave the defaults: a file without them can still be quantized.
ModelFacts facts_of(const gguf::Metadata& metadata, std::span<const TensorDescriptor> tensors);

}  // namespace tessera::model
