#include "pipeline/file_hashes.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "foundation/base/error.h"
#include "foundation/formats/json/json_object.h"
#include "pipeline/cache_folder.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// What the file system says of a file; a change of the content changes it.
struct FileState {
  std::uint64_t device = 0, inode = 0, bytes = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;

  bool operator==(const FileState&) const = default;
};

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::optional<FileState> state_of(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return std::nullopt;
  return FileState{status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
                   nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

bool has_settled(const FileState& state) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::nanoseconds(std::max(state.modified_ns, state.changed_ns)) + FileHashes::kSettlingTime <
         now;
}

fs::path memo_path(const fs::path& cache_folder, const fs::path& file) {
  std::error_code unknown;
  const auto full = fs::weakly_canonical(file, unknown).string();
  return cache_folder / "hashes" / (hash_bytes(std::as_bytes(std::span(full))).text() + ".json");
}

json to_json(const FileState& state, const ContentHash& hash) {
  return {{"device", state.device},
          {"inode", state.inode},
          {"bytes", state.bytes},
          {"modified_ns", state.modified_ns},
          {"changed_ns", state.changed_ns},
          {"hash_high", hash.high},
          {"hash_low", hash.low}};
}

/// The remembered hash, if it is that of a file in this state.
std::optional<ContentHash> recall(const fs::path& memo, const FileState& state, ProgressObserver& progress) {
  std::error_code unknown;
  if (!fs::exists(memo, unknown)) return std::nullopt;
  try {
    const json value = json::parse(tessera::json::read_text_file(memo));
    const ContentHash hash{value.at("hash_high"), value.at("hash_low")};
    if (value == to_json(state, hash)) return hash;
  } catch (const json::exception&) {
    progress.warn(fmt::format("{}: this entry of the cache is damaged and ignored", memo.string()));
  } catch (const BadFileError& error) {
    progress.note(fmt::format("the cache cannot be read: {}", error.what()));
  }
  return std::nullopt;
}

void remember(const fs::path& memo, const FileState& state, const ContentHash& hash,
              ProgressObserver& progress) {
  try {
    const std::string text = to_json(state, hash).dump() + "\n";
    write_cache_file(memo, [&](AtomicFile& file) { file.write_at(0, std::as_bytes(std::span(text))); });
    trim_cache_folder(memo.parent_path(), UINT64_MAX, FileHashes::kMaxRemembered);
  } catch (const Error& error) {
    progress.note(fmt::format("the hash of a file is not kept in the cache: {}", error.what()));
  }
}

/// One file to hash.
struct Job {
  fs::path file;
  std::optional<FileState> state;  ///< before it is read
  std::optional<fs::path> memo;    ///< where its hash belongs; empty when it is not to be remembered
  std::optional<ContentHash> hash;
};

}  // namespace

std::vector<ContentHash> FileHashes::of(std::span<const fs::path> files, std::string_view stage) {
  std::vector<Job> jobs;
  std::uint64_t total = 0;
  for (const auto& file : files) {
    auto& job = jobs.emplace_back(Job{file, state_of(file), {}, {}});
    if (!job.state) continue;  // hashing will say what is wrong
    if (settings_.cache_folder && job.state->bytes >= kLeastBytes) {
      job.memo = memo_path(*settings_.cache_folder, file);
      job.hash = recall(*job.memo, *job.state, progress_);
    }
    if (!job.hash) total += job.state->bytes;
  }
  if (total > 0) progress_.begin(stage, total);
  std::uint64_t before = 0;
  for (auto& job : jobs) {
    if (job.hash) continue;
    const auto done = [&](std::uint64_t bytes) {
      stop_.check();
      progress_.advance(before + bytes);
    };
    job.hash = hash_file(job.file, settings_.threads, done);
    before += job.state ? job.state->bytes : 0;
    // A file that changed while it was read has a hash of neither content.
    if (job.memo && has_settled(*job.state) && state_of(job.file) == job.state)
      remember(*job.memo, *job.state, *job.hash, progress_);
  }
  if (total > 0) progress_.end();
  std::vector<ContentHash> hashes;
  hashes.reserve(jobs.size());
  for (const auto& job : jobs) hashes.push_back(*job.hash);
  return hashes;
}

std::vector<ProvenanceFile> hashed(std::vector<ProvenanceFile> files, int threads, ProgressObserver& progress,
                                   const StopFlag& stop) {
  std::vector<std::filesystem::path> paths;
  for (auto& file : files) {
    paths.push_back(file.path);
    file.bytes = std::filesystem::file_size(file.path);
  }
  const auto hashes = FileHashes({default_cache_folder(), threads}, progress, stop).of(paths, "hash inputs");
  for (std::size_t i = 0; i < files.size(); ++i) files[i].xxh128 = hashes[i].text();
  return files;
}

}  // namespace tessera::pipeline
