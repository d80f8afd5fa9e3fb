#include "pipeline/cache_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <vector>

#include "foundation/base/error.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUnfinishedMark = ".unfinished-";
/// A process that was killed leaves its file behind; nobody writes one for so long.
constexpr auto kUnfinishedLife = std::chrono::hours(1);

struct CacheFile {
  fs::path path;
  std::uint64_t bytes = 0;
  fs::file_time_type changed;

  bool is_unfinished() const { return path.filename().string().find(kUnfinishedMark) != std::string::npos; }
};

/// A name that no other process or thread has; process numbers would repeat between containers.
fs::path unfinished_path(const fs::path& target) {
  std::random_device random;
  auto path = target;
  path += fmt::format("{}{:08x}{:08x}", kUnfinishedMark, random(), random());
  return path;
}

std::vector<CacheFile> files_in(const fs::path& folder) {
  std::vector<CacheFile> files;
  std::error_code vanished;  // another process may remove what is listed
  for (const auto& entry : fs::directory_iterator(folder, vanished)) {
    if (!entry.is_regular_file(vanished)) continue;
    CacheFile file{entry.path(), entry.file_size(vanished), {}};
    if (vanished) continue;
    file.changed = entry.last_write_time(vanished);
    if (!vanished) files.push_back(std::move(file));
  }
  std::ranges::sort(files, std::ranges::greater{}, &CacheFile::changed);
  return files;
}

fs::path folder_from(const char* variable) {
  const char* const value = std::getenv(variable);
  return value ? fs::path(value) : fs::path();
}

}  // namespace

std::optional<fs::path> default_cache_folder() {
  // The specification: a relative path is invalid and to be ignored.
  if (const auto cache = folder_from("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "tessera";
  if (const auto home = folder_from("HOME"); home.is_absolute()) return home / ".cache" / "tessera";
  return std::nullopt;
}

void write_cache_file(const fs::path& target, const std::function<void(AtomicFile&)>& write) {
  std::error_code failed;
  fs::create_directories(target.parent_path(), failed);
  if (failed) throw IoError(target.parent_path().string(), "create", failed.value());
  AtomicFile file(unfinished_path(target));
  write(file);
  file.commit();
  fs::rename(file.target(), target, failed);
  if (!failed) return;
  std::error_code already_failing;
  fs::remove(file.target(), already_failing);
  throw IoError(target.string(), "rename the finished file to", failed.value());
}

void trim_cache_folder(const fs::path& folder, std::uint64_t max_bytes, std::size_t max_files) {
  const auto unfinished_since = fs::file_time_type::clock::now() - kUnfinishedLife;
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  for (const auto& file : files_in(folder)) {
    if (file.is_unfinished() && file.changed > unfinished_since) continue;
    if (!file.is_unfinished()) {
      bytes += file.bytes;
      ++count;
      if (bytes <= max_bytes && count <= max_files) continue;
    }
    std::error_code stays;
    fs::remove(file.path, stays);
  }
}

}  // namespace tessera::pipeline
