// The last results of long runs, so that the same run a second time costs nothing.
//
// A result is a file, kept under a key: the content hash of everything that decides its bytes. An entry is
// `results/KEY.result` in the cache folder:
//
//     entry := "TESSERA-RESULT-1\n" 32 hexadecimal digits (XXH3-128 of the result) "\n" result
//
// All entries together have at most kMaxBytes; those used longest ago go first. A cache never fails a run:
// where it cannot be read or written, that is a note.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "foundation/base/content_hash.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/progress.h"

namespace tessera::pipeline {

/// A verified entry; stays readable when the entry is removed meanwhile.
class CachedResult {
 public:
  CachedResult(MappedFile entry, std::span<const std::byte> result)
      : entry_(std::move(entry)), result_(result) {}

  std::span<const std::byte> bytes() const { return result_; }
  const std::string& entry_path() const { return entry_.path(); }

 private:
  MappedFile entry_;
  std::span<const std::byte> result_;
};

class ResultCache {
 public:
  static constexpr std::uint64_t kMaxBytes = std::uint64_t{2} << 30;
  /// A larger result is not kept: it would displace all others.
  static constexpr std::uint64_t kMaxResultBytes = kMaxBytes / 2;

  /// `folder` as default_cache_folder() gives it; empty: nothing is found and nothing kept.
  ResultCache(std::optional<std::filesystem::path> folder, ProgressObserver& progress)
      : folder_(std::move(folder)), progress_(progress) {}

  /// The result under `key`. A damaged entry is removed with a warning, and none.
  std::optional<CachedResult> find(const ContentHash& key);

  /// Keeps a copy of the finished file `result` under `key`.
  void store(const ContentHash& key, const std::filesystem::path& result);
  /// The same for a result that is no file.
  void store(const ContentHash& key, std::span<const std::byte> result);

 private:
  std::filesystem::path results_folder() const { return *folder_ / "results"; }
  std::filesystem::path entry_path(const ContentHash& key) const;

  std::optional<std::filesystem::path> folder_;
  ProgressObserver& progress_;
};

}  // namespace tessera::pipeline
