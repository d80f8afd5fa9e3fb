#include "model/forward/hidden_states.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

#include "foundation/base/error.h"

namespace tessera::model {
namespace {

namespace fs = std::filesystem;

/// A file descriptor of a new file in `folder` that has no name.
int open_nameless(const fs::path& folder) {
  const std::string place = folder.string();
  const int descriptor = ::open(place.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return descriptor;
  // Not every file system has O_TMPFILE: a name that is taken away at once does the same.
  std::string name = (folder / "tessera-scratch-XXXXXX").string();
  const int named = ::mkstemp(name.data());
  if (named < 0) throw IoError(place, "cannot make a scratch file", errno);
  ::unlink(name.c_str());
  return named;
}

}  // namespace

/// Pages of memory, anonymous or of a scratch file.
class HiddenStates::Storage {
 public:
  Storage(std::size_t bytes, const HiddenStatesSettings& settings)
      : size_(bytes), in_file_(bytes > settings.memory_bytes) {
    const auto folder = settings.scratch_folder.empty() ? fs::temp_directory_path() : settings.scratch_folder;
    const int descriptor = in_file_ ? open_nameless(folder) : -1;
    int error = 0;
    if (in_file_) error = ::posix_fallocate(descriptor, 0, static_cast<off_t>(bytes));
    const int sharing = in_file_ ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    if (error == 0) {
      pages_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, sharing, descriptor, 0);
      if (pages_ == MAP_FAILED) error = errno;
    }
    if (descriptor >= 0) ::close(descriptor);
    if (error == 0) return;
    if (!in_file_) throw std::bad_alloc();
    throw IoError(folder.string(), "cannot make a scratch file of the size of all hidden states", error);
  }
  ~Storage() { ::munmap(pages_, size_); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::span<std::byte> bytes() const { return {static_cast<std::byte*>(pages_), size_}; }

  void release(std::size_t begin, std::size_t end) const {
    if (!in_file_) return;
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t first = (begin + page - 1) / page * page;
    const std::size_t last = end / page * page;
    if (first < last) ::madvise(static_cast<std::byte*>(pages_) + first, last - first, MADV_DONTNEED);
  }

 private:
  std::size_t size_;
  bool in_file_;
  void* pages_ = MAP_FAILED;
};

HiddenStates::HiddenStates(std::size_t windows, std::size_t context, std::size_t embedding,
                           const HiddenStatesSettings& settings)
    : windows_(windows),
      context_(context),
      embedding_(embedding),
      precision_(settings.precision),
      storage_(std::make_unique<Storage>(windows * context * embedding * kernels::element_bytes(precision_),
                                         settings)),
      bytes_(storage_->bytes()) {}

HiddenStates::~HiddenStates() = default;
HiddenStates::HiddenStates(HiddenStates&&) noexcept = default;
HiddenStates& HiddenStates::operator=(HiddenStates&&) noexcept = default;

std::size_t HiddenStates::offset(std::size_t window, std::size_t position) const {
  return (window * context_ + position) * embedding_ * kernels::element_bytes(precision_);
}

void HiddenStates::load(std::size_t window, std::size_t first, std::span<float> values) const {
  assert(offset(window, first) + values.size() * kernels::element_bytes(precision_) <= bytes_.size());
  kernels::load_elements(precision_, bytes_.data() + offset(window, first), values);
}

void HiddenStates::store(std::size_t window, std::size_t first, std::span<const float> values) {
  assert(offset(window, first) + values.size() * kernels::element_bytes(precision_) <= bytes_.size());
  kernels::store_elements(precision_, values, bytes_.data() + offset(window, first));
}

std::span<const std::byte> HiddenStates::rows(std::size_t window, std::size_t first,
                                              std::size_t count) const {
  assert(first + count <= context_);
  return bytes_.subspan(offset(window, first), count * embedding_ * kernels::element_bytes(precision_));
}

std::span<std::byte> HiddenStates::rows(std::size_t window, std::size_t first, std::size_t count) {
  assert(first + count <= context_);
  return bytes_.subspan(offset(window, first), count * embedding_ * kernels::element_bytes(precision_));
}

void HiddenStates::release(std::size_t window) const {
  storage_->release(offset(window, 0), offset(window + 1, 0));
}

void copy_states(const HiddenStates& from, HiddenStates& to) {
  assert(from.bytes().size() == to.bytes().size());
  const std::size_t bytes = from.bytes().size() / from.windows();
  for (std::size_t window = 0; window < from.windows(); ++window) {
    std::ranges::copy(from.bytes().subspan(window * bytes, bytes), to.bytes().begin() + window * bytes);
    from.release(window);
    to.release(window);
  }
}

}  // namespace tessera::model
