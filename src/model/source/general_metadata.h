// The general.* keys: what the model is called, where it comes from, and how its makers advise to sample from
// it.
#pragma once

#include <filesystem>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/json/json_object.h"
#include "model/source/model_name.h"

namespace tessera::model {

/// Adds them in the order of llama.cpp's converter. The sources, the first one given counting: the model
/// card, "_name_or_path" of config.json, the name of the folder; and generation_config.json for
/// general.sampling.*. Throws BadFileError.
void add_general_metadata(const std::filesystem::path& folder, const json::JsonObject& config,
                          const ParameterCounts& parameters, gguf::Metadata& metadata);

}  // namespace tessera::model
