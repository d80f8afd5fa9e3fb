// A folder of one's own among the system's temporary files, removed with all that is in it.
#pragma once

#include <filesystem>

namespace tessera {

class TemporaryFolder {
 public:
  /// Throws IoError.
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace tessera
