// The chat template of a model: the Jinja text that lays out a conversation.
#pragma once

#include <filesystem>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/json/json_object.h"

namespace tessera::model {

/// Adds tokenizer.chat_template, and tokenizer.chat_template.NAME with their list tokenizer.chat_templates
/// when there are several. The sources, the first one given counting: "chat_template" of
/// tokenizer_config.json (a text or a list of named texts), chat_template.jinja with
/// additional_chat_templates/NAME.jinja, chat_template.json. Throws BadFileError.
void add_chat_template_metadata(const std::filesystem::path& folder, const json::JsonObject& tokenizer_config,
                                gguf::Metadata& metadata);

/// The inverse: the value of "chat_template" in tokenizer_config.json, one text or a list of named ones; null
/// when there is none.
json::Value chat_template_config(const gguf::Metadata& metadata);

}  // namespace tessera::model
