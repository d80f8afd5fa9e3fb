// The general.* keys: what the model is called, where it comes from, and how its makers advise to sample from
// it.
#pragma once

#include <filesystem>
#include <string>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/json/json_object.h"
#include "model/source/model_name.h"

namespace tessera::model {

/// Adds them in the order of llama.cpp's converter. The sources, the first one given counting: the model
/// card, "_name_or_path" of config.json, the name of the folder; and generation_config.json for
/// general.sampling.*. Throws BadFileError.
void add_general_metadata(const std::filesystem::path& folder, const json::JsonObject& config,
                          const ParameterCounts& parameters, gguf::Metadata& metadata);

/// The advised sampling settings among the metadata, as generation_config.json has them; an empty object when
/// there are none.
json::Value sampling_of(const gguf::Metadata& metadata);

/// A README.md whose model card says what add_general_metadata() reads from one: name and its parts, licence,
/// base models, data sets, tags, languages. Throws BadFileError naming `file` when a text is not UTF-8.
std::string model_card_of(const gguf::Metadata& metadata, const std::string& file);

}  // namespace tessera::model
