// Opening a model as people have it: a GGUF file (single or split) or a Hugging Face folder.
//
// Either way the caller sees GGUF tensor names, GGUF's row order and GGUF metadata, so that everything above
// does not know where a model came from.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::model {

struct OpenedModel {
  std::unique_ptr<WeightSource> weights;  ///< tensors under GGUF names, in the order to be written
  gguf::Metadata metadata;                ///< as a GGUF file of this model carries it
};

/// Opens `path`. A folder must hold config.json; an unsupported family is refused by name, with the list of
/// supported ones. Throws BadFileError.
OpenedModel open_model(const std::filesystem::path& path);

}  // namespace tessera::model
