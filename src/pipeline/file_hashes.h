// Content hashes of input files, remembered so that an unchanged model is not read again.
//
// For a file of at least kLeastBytes, `hashes/HASH-OF-PATH.json` in the cache folder holds its hash with what
// the file system says of it: device, inode, size, time of modification and of change. Only when all are as
// they were does the hash count. A file that changed within the last kSettlingTime is not remembered: a
// further change might not move the clock of the file system.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "artifacts/provenance.h"
#include "foundation/base/content_hash.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"

namespace tessera::pipeline {

struct FileHashSettings {
  /// As default_cache_folder() gives it; empty: nothing is remembered.
  std::optional<std::filesystem::path> cache_folder = std::nullopt;
  int threads = 0;  ///< 0: all cores
};

class FileHashes {
 public:
  static constexpr std::uint64_t kLeastBytes = std::uint64_t{16} << 20;
  static constexpr auto kSettlingTime = std::chrono::milliseconds(100);
  static constexpr std::size_t kMaxRemembered = 4096;

  FileHashes(FileHashSettings settings, ProgressObserver& progress, const StopFlag& stop)
      : settings_(std::move(settings)), progress_(progress), stop_(stop) {}

  /// hash_file of every file, in order. `stage` names the work to the progress observer when there is some.
  /// Throws BadFileError for a file that cannot be read, InterruptedError.
  std::vector<ContentHash> of(std::span<const std::filesystem::path> files, std::string_view stage);

 private:
  FileHashSettings settings_;
  ProgressObserver& progress_;
  const StopFlag& stop_;
};

/// The files with their sizes and hashes, which the default cache folder remembers. Throws as FileHashes::of.
std::vector<ProvenanceFile> hashed(std::vector<ProvenanceFile> files, int threads, ProgressObserver& progress,
                                   const StopFlag& stop);

}  // namespace tessera::pipeline
