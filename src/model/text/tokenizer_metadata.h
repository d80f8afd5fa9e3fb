// Everything GGUF metadata says about a tokenizer, read from a Hugging Face folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/json/json_object.h"
#include "model/architecture/family.h"

namespace tessera::model {

/// Adds the tokenizer.* keys, in the order of llama.cpp's converter, for a vocabulary of `vocabulary_size`
/// tokens (the rows of the token embedding). tokenizer.model (SentencePiece) is preferred to tokenizer.json
/// (byte-level BPE). `pre_tokenizer` overrides the name told from tokenizer.json unless empty; SentencePiece
/// has none. Throws BadFileError.
void add_tokenizer_metadata(const std::filesystem::path& folder, const Family& family,
                            const json::JsonObject& config, std::uint32_t vocabulary_size,
                            const std::string& pre_tokenizer, gguf::Metadata& metadata);

/// The normalizers that the metadata ask for, as tokenizer.json calls them ("NFC").
std::vector<std::string> normalizer_types(const gguf::Metadata& metadata);

}  // namespace tessera::model
