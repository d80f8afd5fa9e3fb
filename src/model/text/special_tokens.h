// Which tokens begin, end, separate and pad texts, and which of them a tokenizer adds by itself.
//
// The sources, the first that says something counting: for ids, the names in tokenizer_config.json looked up
// among the added tokens of tokenizer.json, then the ids of config.json; for the flags, the post-processor of
// tokenizer.json, then add_bos_token and its kin in tokenizer_config.json.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/json/json_object.h"
#include "model/text/token_table.h"

namespace tessera::model {

/// The three files that say it; a file that a folder lacks is an empty object.
struct TokenizerFiles {
  json::JsonObject tokenizer;         ///< tokenizer.json
  json::JsonObject tokenizer_config;  ///< tokenizer_config.json
  json::JsonObject config;            ///< config.json
};

/// Adds the ids (tokenizer.ggml.bos_token_id ...) and the flags (tokenizer.ggml.add_bos_token ...). Ids that
/// are negative (a way of saying "none") or not below `vocabulary_size` are left out. Throws BadFileError on
/// values of a wrong type.
void add_special_token_metadata(const TokenizerFiles& files, std::uint32_t vocabulary_size,
                                gguf::Metadata& metadata);

/// The tokens that tokenizer_config.json names as special (bos_token, eos_token, ... and
/// additional_special_tokens).
std::set<std::string> named_special_tokens(const json::JsonObject& tokenizer_config);

/// The inverse: "bos_token" and its kin with the spelling of the token whose id the metadata give, and
/// "add_bos_token" and its kin where they say so.
json::Value special_token_config(const gguf::Metadata& metadata, const TokenTable& tokens);

/// The ids alone, "bos_token_id" and its kin, as config.json has them.
json::Value special_token_ids(const gguf::Metadata& metadata);

}  // namespace tessera::model
