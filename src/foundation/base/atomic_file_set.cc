#include "foundation/base/atomic_file_set.h"

#include <system_error>

#include "foundation/base/error.h"

namespace tessera {

std::size_t AtomicFileSet::add(const std::filesystem::path& target, std::uint64_t bytes,
                               AtomicFile::Opening opening) {
  files_.emplace_back(target, opening).reserve(bytes);
  return files_.size() - 1;
}

void AtomicFileSet::write_at(std::size_t file, std::uint64_t offset, std::span<const std::byte> bytes) {
  files_[file].write_at(offset, bytes);
}

void AtomicFileSet::sync() {
  for (auto& file : files_) file.sync();
}

void AtomicFileSet::set_kept(bool kept) {
  for (auto& file : files_) file.set_kept(kept);
}

void AtomicFileSet::commit() {
  sync();
  for (std::size_t left = files_.size(); left-- > 0;) {
    try {
      files_[left].publish();
    } catch (const Error&) {
      for (std::size_t named = left + 1; named < files_.size(); ++named) {
        std::error_code already_failing;
        std::filesystem::remove(files_[named].target(), already_failing);
      }
      throw;
    }
  }
}

}  // namespace tessera
