#include "pipeline/work_folder.h"

#include <system_error>

namespace tessera::pipeline {

WorkFolder::~WorkFolder() {
  std::error_code not_there;
  for (const auto& entry : std::filesystem::directory_iterator(path_, not_there)) {
    std::error_code not_empty;
    if (entry.is_directory(not_empty)) std::filesystem::remove(entry.path(), not_empty);
  }
  std::error_code not_empty;
  std::filesystem::remove(path_, not_empty);
}

void WorkFolder::finish() const {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace tessera::pipeline
