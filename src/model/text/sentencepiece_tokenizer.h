// SentencePiece vocabularies (tokenizer.ggml.model "llama"): scored pieces with byte fallback.
//
// A space is written "▁" (U+2581). A text that begins, or follows a special token, gets a space in front
// unless tokenizer.ggml.add_space_prefix says no. Neighbouring symbols, at first the characters, are merged
// as long as they make a token together, the one with the highest score first. A character that is no token
// becomes the tokens of its bytes,
// "<0x00>" to "<0xFF>" (Kudo and Richardson, "SentencePiece", EMNLP 2018; the order of merging as llama.cpp
// has it).
//
// Characters are told by their first byte alone: bytes that are no valid UTF-8 pass through by the byte
// tokens. Spaces are replaced before that, so an incomplete character takes bytes of the "▁" behind it along,
// and decoding shows that one.
#pragma once

#include <memory>
#include <string>

#include "model/text/tokenizer.h"

namespace tessera::model {

/// Throws BadFileError.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const gguf::Metadata& metadata,
                                                        const std::string& file);

}  // namespace tessera::model
