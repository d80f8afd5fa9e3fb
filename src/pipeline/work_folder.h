// Where a run that goes through several walks keeps what it has finished, beside its output: OUTPUT.work. The
// same command finds it again after the run was killed; it goes when the output is there.
#pragma once

#include <filesystem>

namespace tessera::pipeline {

class WorkFolder {
 public:
  explicit WorkFolder(const std::filesystem::path& output) : path_(output.string() + ".work") {}
  /// Removes the folder when nothing is in it.
  ~WorkFolder();
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  /// The walks make it when they need it.
  const std::filesystem::path& path() const { return path_; }

  /// Removes everything in it: the output is there.
  void finish() const;

 private:
  std::filesystem::path path_;
};

}  // namespace tessera::pipeline
