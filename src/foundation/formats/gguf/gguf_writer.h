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
  /// Go on with the partial files that an earlier run with the same arguments kept, instead of empty ones.
  bool reopen = false;
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

/// A sink whose unfinished output can outlive the run that makes it.
class ResumableSink : public TensorSink {
 public:
  /// Makes the rows written so far durable. From now on the output stays, under its temporary names, even if
  /// it is never committed. Throws IoError.
  virtual void checkpoint() = 0;
  /// Takes that back: an output that is not committed leaves nothing behind.
  virtual void abandon() = 0;
};

/// Creates the file(s) with header and room for all tensors; nothing is visible under the final name before
/// commit(). Throws UsageError when the output cannot be written there, IoError when the disk is full.
std::unique_ptr<ResumableSink> create_gguf(const std::filesystem::path& path, const Metadata& metadata,
                                           const std::vector<TensorDescriptor>& tensors,
                                           const WriteSettings& settings = {});

}  // namespace tessera::gguf
