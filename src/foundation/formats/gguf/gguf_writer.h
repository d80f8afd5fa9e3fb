// Writing GGUF files (version 3), single or split, as a TensorSink.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/tensor/tensor_sink.h"

namespace tessera::gguf {

struct WriteSettings {
  /// Largest size of one part in bytes; 0 writes a single file. A part holds at least one tensor, so a larger
  /// tensor makes a larger part. With more than one part, files are named PREFIX-00001-of-0000N.gguf.
  std::uint64_t split_max_bytes = 0;
};

/// Files that writing these descriptors will make, with their exact sizes in bytes: for planning and dry
/// runs.
struct PlannedFile {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
};
std::vector<PlannedFile> plan_gguf(const std::filesystem::path& path, const Metadata& metadata,
                                   const std::vector<TensorDescriptor>& tensors,
                                   const WriteSettings& settings = {});

/// Creates the file(s) with header and room for all tensors; nothing is visible under the final name before
/// commit(). Throws UsageError when the output cannot be written there, IoError when the disk is full.
std::unique_ptr<TensorSink> create_gguf(const std::filesystem::path& path, const Metadata& metadata,
                                        const std::vector<TensorDescriptor>& tensors,
                                        const WriteSettings& settings = {});

}  // namespace tessera::gguf
