// Reading GGUF files (version 2 and 3), single or split, as a WeightSource with metadata.
//
// (The grammar of the file is in the implementation; shared/formats/GGUF.md sections 1 and 2 are the source.)
#pragma once

#include <filesystem>
#include <memory>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::gguf {

class GgufFile : public WeightSource {
 public:
  virtual const Metadata& metadata() const = 0;
  /// Bytes of all parts together.
  virtual std::uint64_t file_bytes() const = 0;
};

/// Opens `path`; when it is the first part of a split model, all parts, with the split.* keys removed from
/// the metadata. Throws BadFileError naming file, tensor and offset.
std::unique_ptr<GgufFile> open_gguf(const std::filesystem::path& path);

/// Whether the file starts with the GGUF magic. False when it cannot be read.
bool is_gguf(const std::filesystem::path& path);

}  // namespace tessera::gguf
