// Reading safetensors: one file, or a Hugging Face folder with model.safetensors or its sharded index.
#pragma once

#include <filesystem>
#include <memory>

#include "foundation/tensor/weight_source.h"

namespace tessera::safetensors {

/// Opens a .safetensors file or a folder holding model.safetensors or model.safetensors.index.json with its
/// shards. F32, F16, BF16, F64 and signed integer tensors keep their type. A F8_E4M3 tensor NAME with block
/// scales NAME_scale_inv (F32 or BF16, one per 128 x 128 tile) appears as an F32 tensor, decoded on the fly,
/// and its scales do not appear. Throws BadFileError naming file, tensor and offset.
std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& path);

}  // namespace tessera::safetensors
