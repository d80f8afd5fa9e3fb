// Byte-level BPE vocabularies (tokenizer.ggml.model "gpt2"): ranked merges of bytes inside words.
//
// The text is cut into words (pre_tokenizer_kinds.h), a word is a sequence of bytes, and neighbours are
// merged in the order of tokenizer.ggml.merges. Some kinds take a word that is itself a token whole. A byte
// that the vocabulary has no token for is left out, as llama.cpp does; complete vocabularies have all 256.
//
// Bytes that are no valid UTF-8 become U+FFFD each, as in llama.cpp; decoding does not give them back.
#pragma once

#include <memory>
#include <string>

#include "model/text/tokenizer.h"

namespace tessera::model {

/// Throws BadFileError.
std::unique_ptr<Tokenizer> make_byte_level_tokenizer(const gguf::Metadata& metadata, const std::string& file);

}  // namespace tessera::model
