// A vocabulary as GGUF metadata holds it (shared/formats/GGUF.md section 3, "Tokenizer"): parallel arrays
// indexed by token id.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::model {

/// Values as written to tokenizer.ggml.token_type.
enum class TokenType : std::int32_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

struct Vocabulary {
  std::string model;  ///< tokenizer.ggml.model: "llama" (SentencePiece) or "gpt2" (byte-level BPE)
  std::string pre;    ///< tokenizer.ggml.pre
  std::vector<std::string> tokens;
  std::vector<float> scores;  ///< SentencePiece only, else empty
  std::vector<TokenType> types;
  std::vector<std::string> merges;  ///< "left right", byte-level BPE only
};

/// A vocabulary of `size` tokens named "[PAD0]", "[PAD1]" ... of type unused: what the ids that no tokenizer
/// file fills are called.
Vocabulary padded_vocabulary(std::uint32_t size);

/// Whether an added token, by its spelling, is a control token even though the tokenizer files do not call it
/// special (as several published models have it): "<|...|>", "<pad>" and their like.
bool looks_special(std::string_view token);

/// The spelling of a user-defined token: SentencePiece's "▁" is a space there.
std::string user_defined_spelling(std::string_view token);

}  // namespace tessera::model
