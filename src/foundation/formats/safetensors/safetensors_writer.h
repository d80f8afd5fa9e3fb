// Writing safetensors files as a TensorSink.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "foundation/tensor/tensor_sink.h"

namespace tessera::safetensors {

struct WriteSettings {
  /// Largest size of one shard in bytes; 0 writes a single file.
  std::uint64_t shard_max_bytes = 0;
  /// The "__metadata__" object of each file.
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
};

/// Creates model.safetensors (or its shards and index) in the existing folder `folder`. Only plain element
/// types. Throws UsageError or IoError.
std::unique_ptr<TensorSink> create_safetensors(const std::filesystem::path& folder,
                                               const std::vector<TensorDescriptor>& tensors,
                                               const WriteSettings& settings = {});

}  // namespace tessera::safetensors
