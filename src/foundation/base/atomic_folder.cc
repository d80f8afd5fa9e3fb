#include "foundation/base/atomic_folder.h"

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>
#include <vector>

#include "foundation/base/atomic_file.h"
#include "foundation/base/durable.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// Absolute, links resolved, without a slash at the end: what ".partial" can be appended to.
fs::path whole_name(const fs::path& target) {
  std::error_code unknown;  // what keeps us from looking keeps us from creating, and is reported then
  fs::path name = fs::weakly_canonical(fs::absolute(target), unknown);
  if (unknown) name = fs::absolute(target).lexically_normal();
  return name.has_filename() ? name : name.parent_path();
}

[[noreturn]] void refuse_target(const fs::path& target) {
  throw UsageError(target.string() +
                   ": is there already and is no empty folder; choose another output folder, or remove it");
}

void require_free(const fs::path& target) {
  std::error_code unknown;
  const auto status = fs::status(target, unknown);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status) || !fs::is_empty(target, unknown) || unknown) refuse_target(target);
}

}  // namespace

AtomicFolder::AtomicFolder(const fs::path& target)
    : target_(whole_name(target)), temporary_(AtomicFile::temporary_path(target_)) {
  require_free(target_);
  std::error_code failed;
  fs::create_directory(temporary_, failed);
  if (failed) {
    throw UsageError(target_.string() + ": cannot make this folder: " + failed.message() +
                     "; choose an output folder in an existing, writable folder");
  }
  lock_.emplace(temporary_);
  if (!lock_->is_at(temporary_)) {
    throw UsageError(target_.string() + ": another run has just made this folder; choose another one");
  }
  clear_leftovers();
}

AtomicFolder::~AtomicFolder() {
  if (committed_) return;
  std::error_code already_failing;
  fs::remove_all(temporary_, already_failing);
}

void AtomicFolder::clear_leftovers() const {
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(temporary_)) {
    if (entry.is_directory() && !entry.is_symlink()) {
      throw UsageError(temporary_.string() +
                       ": is in the way and was not made by an earlier run; rename it or remove it");
    }
    leftovers.push_back(entry.path());
  }
  for (const auto& leftover : leftovers) {
    std::error_code failed;
    fs::remove(leftover, failed);
    if (failed) throw IoError(leftover.string(), "remove", failed.value());
  }
}

void AtomicFolder::commit() {
  for (const auto& entry : fs::directory_iterator(temporary_)) make_file_durable(entry.path());
  make_names_durable(temporary_);
  // Replaces an empty folder and nothing else.
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int reason = errno;
    if (reason == ENOTEMPTY || reason == EEXIST || reason == ENOTDIR) refuse_target(target_);
    throw IoError(target_.string(), "rename the finished folder to", reason);
  }
  committed_ = true;
  make_names_durable(target_.parent_path());
}

}  // namespace tessera
