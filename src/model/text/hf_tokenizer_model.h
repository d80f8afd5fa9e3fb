// What in a tokenizer.json depends on the kind of vocabulary: normalizer, pre-tokenizer, BPE model, decoder.
//
// SentencePiece vocabularies become BPE with byte fallback as in the tokenizer.json of published models:
// every way to make a token of two others is a merge, and merges come in the order of the scores of what they
// make, the highest first; among equals that of the lower id, then the one whose parts have the lower ids. A
// space is put in front of every part of a text between special tokens, as the runtime does. Where several
// tokens have the same score, or a token's parts are no tokens, that may give other tokens than the scores
// do.
#pragma once

#include <string>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/json/json_object.h"
#include "model/text/tokenizer.h"

namespace tessera::model {

/// Whether an id is one that no token has: unused, and called as padded_vocabulary() calls it.
bool is_padding(const TokenTable& tokens, TokenId token);

/// The keys "normalizer", "pre_tokenizer", "model" and "decoder" for the vocabulary of `tokenizer`, which was
/// made from `metadata`. Throws BadFileError naming `file`.
json::Value described_byte_level_model(const gguf::Metadata& metadata, const Tokenizer& tokenizer);
json::Value described_sentencepiece_model(const gguf::Metadata& metadata, const Tokenizer& tokenizer,
                                          const std::string& file);

}  // namespace tessera::model
