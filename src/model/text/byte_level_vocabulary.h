// The vocabulary of a byte-level BPE tokenizer.json.
#pragma once

#include <cstdint>
#include <string>

#include "foundation/formats/json/json_object.h"
#include "model/text/vocabulary.h"

namespace tessera::model {

/// Reads tokenizer.json and the added tokens of tokenizer_config.json into a vocabulary of exactly `size`
/// tokens, ids without a token padded. `pre_tokenizer` is the name to use; when empty it is told from
/// tokenizer.json. Throws BadFileError: a tokenizer of another kind, ids beyond `size`, an unknown
/// pre-tokenizer.
Vocabulary read_byte_level_vocabulary(const json::JsonObject& tokenizer,
                                      const json::JsonObject& tokenizer_config, std::uint32_t size,
                                      const std::string& pre_tokenizer);

}  // namespace tessera::model
