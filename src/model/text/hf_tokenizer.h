// The tokenizer files of a Hugging Face folder, made from GGUF metadata: the inverse of tokenizer_metadata.h.
//
// tokenizer.json holds the whole tokenizer as the library "tokenizers" runs it: normalizer -> pre-tokenizer
// -> BPE model -> post-processor, with the tokens that are cut out of a text before all that. A byte-level
// vocabulary keeps its merges; its pre-tokenizer is described by name (pre_tokenizer.h). A SentencePiece
// vocabulary has scores instead of merges: hf_tokenizer_model.h says how they become merges; beside it stands
// a tokenizer.model with the scores themselves.
#pragma once

#include <string>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/json/json_object.h"

namespace tessera::model {

struct HfTokenizerFiles {
  json::Value tokenizer;            ///< tokenizer.json
  json::Value tokenizer_config;     ///< tokenizer_config.json
  std::string sentencepiece_model;  ///< the bytes of tokenizer.model; empty: a byte-level vocabulary
};

/// Files that give the token ids that make_tokenizer() gives, with control tokens parsed. Ids that no token
/// has ("[PAD7]", unused) are left out, so that readers pad them again. Throws BadFileError as
/// make_tokenizer() does, and for a token that is longer than any tokenizer has.
HfTokenizerFiles hf_tokenizer_files(const gguf::Metadata& metadata, const std::string& file);

}  // namespace tessera::model
