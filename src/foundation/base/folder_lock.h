// Keeps two runs from working in one folder.
#pragma once

#include <filesystem>

namespace tessera {

/// Holds the folder until the end of the scope. The system lets go of it however the process ends.
class FolderLock {
 public:
  /// Throws UsageError when another process (or another lock of this one) holds the folder, or when it cannot
  /// be opened. Where the file system knows no locks, nothing is locked.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  /// Whether the folder that is held still has this name: another run may have renamed it between our opening
  /// and locking it.
  bool is_at(const std::filesystem::path& folder) const;

  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace tessera
