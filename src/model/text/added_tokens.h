// Tokens that were added to a vocabulary after its training, as the files of a Hugging Face folder list them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "foundation/formats/json/json_object.h"

namespace tessera::model {

struct AddedToken {
  std::uint64_t id = 0;
  std::string content;
  bool special = false;
};

/// The "added_tokens" array of tokenizer.json; empty when it is not given. Throws BadFileError.
std::vector<AddedToken> added_tokens_of_tokenizer(const json::JsonObject& tokenizer);

/// The "added_tokens_decoder" object (id to token) of tokenizer_config.json, in order of id. Throws
/// BadFileError.
std::vector<AddedToken> added_tokens_of_tokenizer_config(const json::JsonObject& tokenizer_config);

/// The whole of added_tokens.json, an object from content to id, in order of id. Throws BadFileError.
std::vector<AddedToken> added_tokens_of_added_tokens_file(const json::JsonObject& added_tokens);

}  // namespace tessera::model
