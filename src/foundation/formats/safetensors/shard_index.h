// The index of a sharded checkpoint, model.safetensors.index.json:
//
//     { "metadata": {"total_size": bytes}, "weight_map": {TENSOR: SHARD_FILE, ...} }
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace tessera::safetensors {

constexpr std::string_view kSingleFileName = "model.safetensors";
constexpr std::string_view kIndexFileName = "model.safetensors.index.json";

/// Tensor name -> name of the shard in the index's folder.
using WeightMap = std::map<std::string, std::string>;

/// Reads an index whose bytes are `bytes`. Throws BadFileError: not JSON of this form, no tensors, a shard
/// name that is not the name of a file in the same folder.
WeightMap read_shard_index(std::span<const std::byte> bytes, const std::string& file);

}  // namespace tessera::safetensors
