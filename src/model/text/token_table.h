// The vocabulary of a tokenizer as GGUF metadata gives it, checked: what the tokenizers look tokens up in.
//
// Keys (shared/formats/GGUF.md section 3, "Tokenizer"): tokenizer.ggml.model, .tokens, .token_type, .scores,
// .merges, .bos_token_id and its kin, .add_bos_token and its kin.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "model/text/vocabulary.h"

namespace tessera::model {

using TokenId = std::int32_t;

class TokenTable {
 public:
  /// Throws BadFileError: no tokens, two of the same text, arrays of different lengths, types or ids out of
  /// range.
  TokenTable(const gguf::Metadata& metadata, const std::string& file);
  // The map looks into the strings: moving keeps them in place, copying would not.
  TokenTable(TokenTable&&) = default;
  TokenTable(const TokenTable&) = delete;
  TokenTable& operator=(const TokenTable&) = delete;
  TokenTable& operator=(TokenTable&&) = delete;
  ~TokenTable() = default;

  std::size_t size() const { return tokens_.size(); }
  const std::string& text(TokenId token) const { return tokens_[static_cast<std::size_t>(token)]; }
  /// As the metadata say, but control for the texts that always are ("<|im_end|>" and their like).
  TokenType type(TokenId token) const { return types_[static_cast<std::size_t>(token)]; }
  /// 0 where the metadata has no scores.
  float score(TokenId token) const { return scores_[static_cast<std::size_t>(token)]; }
  std::optional<TokenId> find(std::string_view text) const;
  /// Bytes of the longest token.
  std::size_t longest() const { return longest_; }

  std::optional<TokenId> bos() const { return ids_[0]; }
  std::optional<TokenId> eos() const { return ids_[1]; }
  std::optional<TokenId> unknown() const { return ids_[2]; }

  /// Whether the metadata asks for BOS (EOS) to be added; empty when it does not say.
  std::optional<bool> asks_for_bos() const { return asks_for_bos_; }
  std::optional<bool> asks_for_eos() const { return asks_for_eos_; }

 private:
  void read_tokens(const gguf::Metadata& metadata, const std::string& file);
  void read_types(const gguf::Metadata& metadata, const std::string& file);
  void read_scores(const gguf::Metadata& metadata, const std::string& file);
  void read_ids(const gguf::Metadata& metadata, const std::string& file);

  std::vector<std::string> tokens_;
  std::vector<TokenType> types_;
  std::vector<float> scores_;
  std::unordered_map<std::string_view, TokenId> by_text_;
  std::size_t longest_ = 0;
  std::array<std::optional<TokenId>, 3> ids_;  ///< BOS, EOS, unknown
  std::optional<bool> asks_for_bos_;
  std::optional<bool> asks_for_eos_;
};

}  // namespace tessera::model
