// Which tensors a quantizer leaves alone, whatever the recipe.
#pragma once

#include "foundation/tensor/tensor_descriptor.h"

namespace tessera::model {

/// Whether the tensor may be quantized at all: two or more dimensions, float or quantized weights, a name
/// that ends in "weight" and is not one of the small or sensitive ones that llama-quantize leaves alone
/// (shared/formats/GGUF.md section 3; the list was completed by dry runs of 0.7.0).
bool may_be_quantized(const TensorDescriptor& tensor);

}  // namespace tessera::model
