// An output file that appears whole or not at all.
//
// Bytes go to a temporary file beside the target and are brought to the disk while more are written
// (early_sync.h); commit() makes the last of them durable (fsync) and renames. A file that is never committed
// is removed, so a failed run leaves nothing behind, unless it is kept on purpose to be reopened by a later
// run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "foundation/base/early_sync.h"

namespace tessera {

class AtomicFile {
 public:
  enum class Opening {
    fresh,   ///< start with an empty file, whatever an earlier run left
    reopen,  ///< go on with the bytes of the temporary file that an earlier run kept
  };

  /// Name of the temporary file.
  static std::filesystem::path temporary_path(const std::filesystem::path& target);

  /// Opens the temporary file `<target>.partial`. Throws UsageError when the folder does not exist or
  /// cannot be written to, IoError when the file cannot be created for another reason.
  explicit AtomicFile(const std::filesystem::path& target, Opening opening = Opening::fresh);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Sets the final size at once, so that a full disk is found before hours of work. Throws IoError.
  void reserve(std::uint64_t size);
  /// Writes all of `bytes` at `offset`. Any thread, any order, disjoint ranges. Throws IoError (for example
  /// when the disk is full).
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Makes the content durable, still under the temporary name. Throws IoError.
  void sync();
  /// Whether the temporary file stays when the content is never committed; at first it does not.
  void set_kept(bool kept) { kept_ = kept; }
  /// Makes the content durable and gives it the target's name. Throws IoError.
  void commit();
  /// The second half of commit(), for content that sync() has made durable. Throws IoError.
  void publish();

  const std::filesystem::path& target() const { return target_; }

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  bool kept_ = false;
  std::unique_ptr<EarlySync> early_sync_;
};

/// Writes `text` to `target` atomically. Throws as AtomicFile does.
void write_file_atomically(const std::filesystem::path& target, std::span<const std::byte> bytes);

}  // namespace tessera
