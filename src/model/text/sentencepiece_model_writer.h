// A SentencePiece tokenizer.model made of a GGUF vocabulary: the inverse of sentencepiece_vocabulary.h.
#pragma once

#include <string>

#include "foundation/formats/gguf/metadata.h"
#include "model/text/tokenizer.h"

namespace tessera::model {

/// Whether the token was added after the training of its SentencePiece model: the user-defined ones, and
/// control tokens with the score that added ones get.
bool is_added_to_sentencepiece(const TokenTable& tokens, TokenId token);

/// The bytes of a tokenizer.model of the kind BPE, with no normalization but "▁" for spaces, that holds the
/// tokens with their scores and types up to the last one that was not added later. Added tokens before that
/// keep their places.
std::string sentencepiece_model(const gguf::Metadata& metadata, const Tokenizer& tokenizer);

}  // namespace tessera::model
