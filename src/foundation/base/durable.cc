#include "foundation/base/durable.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "foundation/base/error.h"

namespace tessera {

void make_file_durable(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw IoError(file.string(), "open", errno);
  const int reason = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (reason != 0) throw IoError(file.string(), "make durable", reason);
}

void make_names_durable(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace tessera
