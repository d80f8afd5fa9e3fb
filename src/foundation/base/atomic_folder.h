// An output folder that appears whole or not at all.
//
// Files are made in "<target>.partial"; commit() makes them durable (files, folder, the folder above) and
// renames. A folder that is never committed is removed with its files. What a killed run left under the
// temporary name is cleared away by the next run; a run that is still alive holds a lock on it.
#pragma once

#include <filesystem>
#include <optional>

#include "foundation/base/folder_lock.h"

namespace tessera {

class AtomicFolder {
 public:
  /// Makes the temporary folder beside `target`. `target` does not exist or is an empty folder (or a link to
  /// one), which commit() replaces. Throws UsageError: the target is anything else, the folder above does not
  /// exist or cannot be written to, another run makes this folder, or the temporary folder holds folders,
  /// which no run made.
  explicit AtomicFolder(const std::filesystem::path& target);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  /// Where to make the files, until commit(). Files only: no folders.
  const std::filesystem::path& path() const { return temporary_; }
  /// The folder's final name, absolute.
  const std::filesystem::path& target() const { return target_; }

  /// Makes everything durable and gives the folder its name. Throws IoError, or UsageError when something
  /// came to be at the target in the meantime.
  void commit();

 private:
  void clear_leftovers() const;

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  std::optional<FolderLock> lock_;
  bool committed_ = false;
};

}  // namespace tessera
