// A read-only memory map of a whole file, with pages given back as soon as they were used.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace tessera {

class MappedFile {
 public:
  /// Maps `path` for reading. Throws BadFileError when it cannot be opened or is not a regular file.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  /// Drops the whole pages inside `range` (a part of bytes()) from this process: resident memory stays
  /// bounded however large the file is. Reading them again is correct and reads them from the page cache.
  void discard(std::span<const std::byte> range) const;

 private:
  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace tessera
