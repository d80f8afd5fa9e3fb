// Several output files that appear together or not at all: the parts of a split model, shards with their
// index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "foundation/base/atomic_file.h"

namespace tessera {

class AtomicFileSet {
 public:
  /// Opens one more file and reserves its final size; returns its number. Throws as AtomicFile does.
  std::size_t add(const std::filesystem::path& target, std::uint64_t bytes,
                  AtomicFile::Opening opening = AtomicFile::Opening::fresh);

  /// As AtomicFile::write_at.
  void write_at(std::size_t file, std::uint64_t offset, std::span<const std::byte> bytes);

  /// Makes all files durable, still under their temporary names. Throws IoError.
  void sync();

  /// As AtomicFile::set_kept, for all files.
  void set_kept(bool kept);

  /// Makes all files durable, then names them, the first one last: whoever opens the first file finds the
  /// others. When one cannot be named, those that were are removed again. Throws IoError.
  void commit();

 private:
  std::vector<AtomicFile> files_;
};

}  // namespace tessera
