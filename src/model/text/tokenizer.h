// Text to tokens and back, token for token as llama.cpp does it.
//
// A text is cut at its special tokens (special_splitter.h), what lies between goes through the vocabulary's
// own algorithm (sentencepiece_tokenizer.h, byte_level_tokenizer.h), and the tokens that begin and end a text
// are added as the vocabulary asks. docs/tokenizers.md says what that comes to for texts that are no valid
// UTF-8.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "model/text/special_splitter.h"
#include "model/text/token_table.h"

namespace tessera::model {

struct TokenizeSettings {
  bool add_special = true;    ///< put BOS in front and EOS behind where the vocabulary says so
  bool parse_special = true;  ///< control tokens spelled in the text become those tokens
};

struct DecodeSettings {
  bool spell_control = false;  ///< control tokens as they are spelled; otherwise they are left out
};

/// What a kind of vocabulary adds to a text where its metadata does not say it.
struct AddedByDefault {
  bool bos = false;
  bool eos = false;
};

/// All methods may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// The tokens of `text`, any bytes. Time grows as n log n at worst, for a text of one word.
  std::vector<TokenId> encode(std::string_view text, const TokenizeSettings& settings = {}) const;

  /// The bytes of a text. decode(encode(text)), with control tokens spelled, is the text when it is valid
  /// UTF-8 without "▁" and the vocabulary has every byte. Ids must be below size().
  std::string decode(std::span<const TokenId> tokens, const DecodeSettings& settings = {}) const;

  /// The bytes that one token stands for, control tokens spelled.
  std::string piece(TokenId token) const;

  std::size_t size() const { return table_.size(); }
  const TokenTable& table() const { return table_; }
  std::optional<TokenId> bos() const { return table_.bos(); }
  std::optional<TokenId> eos() const { return table_.eos(); }
  /// Whether white space behind this special token goes with it.
  bool takes_space_behind(TokenId token) const { return splitter_.takes_space_behind(token); }
  /// Whether encode() puts BOS in front of (EOS behind) a text.
  bool adds_bos() const { return adds_bos_; }
  bool adds_eos() const { return adds_eos_; }

 protected:
  Tokenizer(TokenTable table, const gguf::Metadata& metadata, const AddedByDefault& added);

 private:
  /// Appends the tokens of a text that holds no special token. `begins` tells that it stands at the beginning
  /// or right behind a special token.
  virtual void encode_plain(std::string_view text, bool begins, std::vector<TokenId>& tokens) const = 0;
  /// The bytes of an ordinary (or unused or byte) token.
  virtual std::string spell_plain(TokenId token) const = 0;
  /// Whether encode_plain put a space in front of a text that begins.
  virtual bool prefixes_space() const = 0;

  /// Control, user-defined or unknown: never a product of encode_plain, spelled as it is stored.
  bool is_special(TokenId token) const;

  TokenTable table_;
  SpecialSplitter splitter_;
  bool adds_bos_;
  bool adds_eos_;
};

/// The tokenizer that `metadata` describes: a model's, a vocabulary-only file's, or what open_model() makes
/// of a Hugging Face folder. `file` is what errors call it. Throws BadFileError: no tokenizer, one of another
/// kind than SentencePiece
/// ("llama") and byte-level BPE ("gpt2"), a pre-tokenizer that is not known (the known ones are listed), a
/// vocabulary that contradicts itself.
std::unique_ptr<Tokenizer> make_tokenizer(const gguf::Metadata& metadata, const std::string& file);

}  // namespace tessera::model
