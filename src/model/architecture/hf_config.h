// The config.json of a model that came as a GGUF file: the inverse of model_config.h.
#pragma once

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/json/json_object.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::model {

/// A config.json that transformers takes, and that reads to these metadata (as they stand below
/// "ARCHITECTURE."): family, sizes, RoPE settings, norm epsilon, and what the tensors of `weights` (GGUF
/// names) tell: the vocabulary, whether the output matrix is the embedding, which biases there are. A GGUF
/// file of the architecture "llama" is taken for a LlamaForCausalLM, which computes what Mistral without a
/// window does. Ids of special tokens and the element type ("torch_dtype") are for the caller to add.
///
/// Throws BadFileError: an architecture that is not supported (the supported ones are listed), experts,
/// missing or impossible sizes, a key that config.json has no place for, biases that the family's class would
/// not read.
json::Value config_of_metadata(const gguf::Metadata& metadata, const WeightSource& weights);

}  // namespace tessera::model
