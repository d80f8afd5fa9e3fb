// Small vocabularies as metadata, for the tests of the tokenizers.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "model/text/byte_alphabet.h"

namespace tessera::testing {

struct TestVocabulary {
  std::string model;
  std::string pre = "default";
  std::vector<std::string> tokens = {};
  std::vector<std::int32_t> types = {};  ///< as tokenizer.ggml.token_type has them
  std::vector<float> scores = {};
  std::vector<std::string> merges = {};

  void add(std::string token, std::int32_t type = 1, float score = 0) {
    tokens.push_back(std::move(token));
    types.push_back(type);
    scores.push_back(score);
  }

  gguf::Metadata metadata() const {
    gguf::Metadata metadata;
    metadata.set("tokenizer.ggml.model", model);
    metadata.set("tokenizer.ggml.pre", pre);
    metadata.set("tokenizer.ggml.tokens", gguf::Array(tokens));
    metadata.set("tokenizer.ggml.token_type", gguf::Array(types));
    if (model == "llama") metadata.set("tokenizer.ggml.scores", gguf::Array(scores));
    if (model == "gpt2") metadata.set("tokenizer.ggml.merges", gguf::Array(merges));
    return metadata;
  }
};

/// <unk>, <s>, </s>, the bytes (3 to 258), then "▁" and the letters a to d.
inline TestVocabulary sentencepiece_vocabulary() {
  TestVocabulary vocabulary{.model = "llama"};
  vocabulary.add("<unk>", 2);
  vocabulary.add("<s>", 3);
  vocabulary.add("</s>", 3);
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (std::size_t byte = 0; byte < 256; ++byte) {
    vocabulary.add(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">", 6);
  }
  for (const char* token : {"▁", "a", "b", "c", "d"}) vocabulary.add(token);
  return vocabulary;
}

/// The bytes (0 to 255), then <s>.
inline TestVocabulary byte_level_vocabulary() {
  TestVocabulary vocabulary{.model = "gpt2"};
  for (unsigned byte = 0; byte < 256; ++byte) {
    vocabulary.add(model::spelled_byte(static_cast<unsigned char>(byte)));
  }
  vocabulary.add("<s>", 3);
  return vocabulary;
}

}  // namespace tessera::testing
