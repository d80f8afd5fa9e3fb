#include "pipeline/result_cache.h"

#include <fmt/format.h>

#include <limits>
#include <string_view>

#include "foundation/base/error.h"
#include "pipeline/cache_folder.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "TESSERA-RESULT-1\n";

std::string header_of(std::span<const std::byte> result) {
  return fmt::format("{}{}\n", kMagic, hash_bytes(result).text());
}

/// The result in the bytes of an entry, or empty when they are damaged.
std::optional<std::span<const std::byte>> result_in(std::span<const std::byte> entry) {
  const std::size_t header_bytes = header_of({}).size();
  if (entry.size() < header_bytes) return std::nullopt;
  const auto result = entry.subspan(header_bytes);
  const std::string_view header(reinterpret_cast<const char*>(entry.data()), header_bytes);
  if (header != header_of(result)) return std::nullopt;
  return result;
}

}  // namespace

fs::path ResultCache::entry_path(const ContentHash& key) const {
  return results_folder() / (key.text() + ".result");
}

std::optional<CachedResult> ResultCache::find(const ContentHash& key) {
  if (!folder_) return std::nullopt;
  const fs::path path = entry_path(key);
  std::error_code unknown;
  if (!fs::exists(path, unknown)) return std::nullopt;
  try {
    MappedFile entry(path);
    if (const auto result = result_in(entry.bytes())) {
      fs::last_write_time(path, fs::file_time_type::clock::now(), unknown);  // used last now
      return CachedResult(std::move(entry), *result);
    }
  } catch (const BadFileError& error) {
    progress_.note(fmt::format("the cache cannot be read: {}", error.what()));
    return std::nullopt;
  }
  progress_.warn(fmt::format("{}: this entry of the cache is damaged; it is removed", path.string()));
  fs::remove(path, unknown);
  return std::nullopt;
}

void ResultCache::store(const ContentHash& key, const fs::path& result) {
  if (!folder_) return;
  try {
    const MappedFile file(result);
    store(key, file.bytes());
  } catch (const Error& error) {
    progress_.note(fmt::format("the result is not kept in the cache: {}", error.what()));
  }
}

void ResultCache::store(const ContentHash& key, std::span<const std::byte> result) {
  if (!folder_) return;
  if (result.size() > kMaxResultBytes) {
    progress_.note(fmt::format("a result of {} bytes is too large for the cache", result.size()));
    return;
  }
  try {
    const std::string header = header_of(result);
    write_cache_file(entry_path(key), [&](AtomicFile& entry) {
      entry.write_at(0, std::as_bytes(std::span(header)));
      entry.write_at(header.size(), result);
    });
    trim_cache_folder(results_folder(), kMaxBytes, std::numeric_limits<std::size_t>::max());
  } catch (const Error& error) {
    progress_.note(fmt::format("the result is not kept in the cache: {}", error.what()));
  }
}

}  // namespace tessera::pipeline
