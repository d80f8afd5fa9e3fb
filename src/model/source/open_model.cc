#include "model/source/open_model.h"

#include "foundation/base/error.h"
#include "foundation/formats/gguf/gguf_file.h"

namespace tessera::model {

OpenedModel open_model(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    throw BadFileError({.file = path.string()}, "folders cannot be opened yet; give a GGUF file");
  }
  auto file = gguf::open_gguf(path);
  gguf::Metadata metadata = file->metadata();
  return {std::move(file), std::move(metadata)};
}

}  // namespace tessera::model
