#include "foundation/base/temporary_folder.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

#include "foundation/base/error.h"

namespace tessera {

TemporaryFolder::TemporaryFolder() {
  std::error_code unknown;
  auto place = std::filesystem::temp_directory_path(unknown);
  if (unknown) place = "/tmp";
  std::string name = (place / "tessera-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw IoError(place.string(), "make a temporary folder", errno);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace tessera
