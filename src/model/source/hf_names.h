// The tensors of a model under GGUF names, presented under Hugging Face names, in Hugging Face's row order:
// the inverse of hf_weights.h.
#pragma once

#include <memory>

#include "foundation/tensor/weight_source.h"
#include "model/architecture/model_config.h"

namespace tessera::model {

/// Presents `weights`, which outlives the result, by the tables of the family of `config`: renamed, in the
/// same order and in their stored types, query and key rows (and the elements of their biases) from
/// interleaved pairs back to halves where the family has it so, rope_freqs.weight left out (config.json says
/// it).
///
/// An 8-bit linear, "STEM.weight" in I8 [out, in] beside "STEM.weight_scale" F32 [out] and, for static
/// activations, "STEM.input_scale" F32 [1], becomes "HFSTEM.weight", "HFSTEM.weight_scale" [out, 1] and
/// "HFSTEM.input_scale" [1], as compressed-tensors lays them out; scales move with their rows.
///
/// Throws BadFileError naming the tensor: a name that the family has not, a shape that contradicts `config`,
/// a missing tensor, integers without scales.
std::unique_ptr<WeightSource> present_as_hf(const WeightSource& weights, const ModelConfig& config);

}  // namespace tessera::model
