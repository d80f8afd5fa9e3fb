// The tensors of a Hugging Face model, presented under GGUF names, in GGUF's row order.
#pragma once

#include <memory>

#include "foundation/tensor/weight_source.h"
#include "model/architecture/model_config.h"

namespace tessera::model {

/// Presents `weights` (Hugging Face names) by the tables of the family: renamed, matrices in their stored
/// types, vectors in F32 (runtimes demand it of norms and biases), query and key rows reordered where the
/// family needs it, rope_freqs.weight in front where the RoPE scaling needs it, buffers left out. Every
/// tensor is checked against the family's table: unknown names, missing tensors and wrong shapes throw
/// BadFileError naming the Hugging Face tensor. Of a W8A8 model (config.int8) linears may be I8 with scales
/// NAME_scale, [rows, 1], and input_scale, [1], in any float type: they appear as int8_weights.h says.
std::unique_ptr<WeightSource> present_as_gguf(std::unique_ptr<WeightSource> weights,
                                              const ModelConfig& config);

}  // namespace tessera::model
