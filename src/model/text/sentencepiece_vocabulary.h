// The vocabulary of a SentencePiece tokenizer.model, with the tokens that were added to it later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "model/text/vocabulary.h"

namespace tessera::model {

// The scores that llama.cpp's converter gives to tokens that SentencePiece knows nothing of.
inline constexpr float kPaddingScore = -10000.0f;  ///< ids without a token
inline constexpr float kAddedScore = -1000.0f;     ///< tokens added after the training

/// Reads `folder`/tokenizer.model, added_tokens.json and the added tokens of tokenizer_config.json (later
/// files override earlier ones) into a vocabulary of exactly `size` tokens: pieces beyond are left out, ids
/// without a piece are padded. Throws BadFileError.
Vocabulary read_sentencepiece_vocabulary(const std::filesystem::path& folder, std::uint32_t size);

/// The same of the bytes of a tokenizer.model alone; `file` names it in errors. Only models of the kinds BPE
/// and unigram are accepted.
Vocabulary parse_sentencepiece_model(std::span<const std::byte> bytes, const std::string& file,
                                     std::uint32_t size);

}  // namespace tessera::model
