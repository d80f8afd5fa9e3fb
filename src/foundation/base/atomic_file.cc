#include "foundation/base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "foundation/base/durable.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

std::filesystem::path folder_of(const std::filesystem::path& target) {
  return target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
}

/// Smaller writes are left to the system: the call would cost more than it saves.
constexpr std::uint64_t kEarlyWriteBytes = 64 * 1024;

/// Starts to bring a written range to the disk, so that unwritten pages do not pile up in memory. Only whole
/// pages: a page at the edge is still to be written to by the neighbour.
void start_writing_out(int descriptor, std::uint64_t offset, std::uint64_t size) {
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t begin = (offset + page - 1) / page * page;
  const std::uint64_t end = (offset + size) / page * page;
  if (begin + kEarlyWriteBytes > end) return;
  // Advice only: what fails here, sync() reports.
  ::sync_file_range(descriptor, static_cast<off_t>(begin), static_cast<off_t>(end - begin),
                    SYNC_FILE_RANGE_WRITE);
}

}  // namespace

std::filesystem::path AtomicFile::temporary_path(const std::filesystem::path& target) {
  auto temporary = target;
  temporary += ".partial";
  return temporary;
}

AtomicFile::AtomicFile(const std::filesystem::path& target, Opening opening)
    : target_(target), temporary_(temporary_path(target)) {
  std::error_code unknown;  // what keeps us from looking keeps us from creating, and is reported then
  if (std::filesystem::is_directory(target, unknown)) {
    throw UsageError(target.string() + ": cannot write here: it is a folder; give the name of a file");
  }
  const int truncate = opening == Opening::fresh ? O_TRUNC : 0;
  descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | truncate, 0666);
  if (descriptor_ >= 0) {
    early_sync_ = std::make_unique<EarlySync>(descriptor_);
    return;
  }
  const int reason = errno;
  if (reason == ENOENT || reason == EACCES || reason == ENOTDIR || reason == EROFS || reason == EISDIR ||
      reason == ENAMETOOLONG) {
    throw UsageError(target.string() + ": cannot write here: " + std::generic_category().message(reason) +
                     "; choose an output path in an existing, writable folder");
  }
  throw IoError(temporary_.string(), "create", reason);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  early_sync_.reset();
  ::close(descriptor_);
  if (!kept_) ::unlink(temporary_.c_str());
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      kept_(other.kept_),
      early_sync_(std::move(other.early_sync_)) {}

void AtomicFile::reserve(std::uint64_t size) {
  if (size == 0) return;
  // Not posix_fallocate: where a file system cannot preallocate, it writes into every block instead. Such a
  // file system gets its size only, and reports a full disk when it is reached.
  int result = ::fallocate(descriptor_, 0, 0, static_cast<off_t>(size));
  if (result != 0 && errno == EOPNOTSUPP) result = ::ftruncate(descriptor_, static_cast<off_t>(size));
  if (result != 0) throw IoError(target_.string(), "reserve " + std::to_string(size) + " bytes for", errno);
}

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::uint64_t begin = offset;
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      throw IoError(target_.string(), "write", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  start_writing_out(descriptor_, begin, offset - begin);
  early_sync_->wrote(offset - begin);
}

void AtomicFile::sync() {
  // A flush that is still running shares the work of this one, and may be the one that a failure is reported
  // to.
  const int last = ::fsync(descriptor_) == 0 ? 0 : errno;
  const int earlier = early_sync_->settle();
  if (last != 0 || earlier != 0) throw IoError(target_.string(), "make durable", last != 0 ? last : earlier);
}

void AtomicFile::commit() {
  sync();
  publish();
}

void AtomicFile::publish() {
  early_sync_.reset();
  const int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0) throw IoError(target_.string(), "close", errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int reason = errno;
    ::unlink(temporary_.c_str());
    throw IoError(target_.string(), "rename the finished file to", reason);
  }
  make_names_durable(folder_of(target_));
}

void write_file_atomically(const std::filesystem::path& target, std::span<const std::byte> bytes) {
  AtomicFile file(target);
  file.write_at(0, bytes);
  file.commit();
}

}  // namespace tessera
