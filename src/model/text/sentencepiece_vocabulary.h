// The vocabulary of a SentencePiece tokenizer.model, with the tokens that were added to it later.
#pragma once

#include <cstdint>
#include <filesystem>

#include "model/text/vocabulary.h"

namespace tessera::model {

/// Reads `folder`/tokenizer.model, added_tokens.json and the added tokens of tokenizer_config.json (later
/// files override earlier ones) into a vocabulary of exactly `size` tokens: pieces beyond are left out, ids
/// without a piece are padded. Only models of the kinds BPE and unigram are accepted. Throws BadFileError.
Vocabulary read_sentencepiece_vocabulary(const std::filesystem::path& folder, std::uint32_t size);

}  // namespace tessera::model
