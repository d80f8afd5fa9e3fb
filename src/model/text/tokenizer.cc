#include "model/text/tokenizer.h"

#include <fmt/format.h>

#include <cassert>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "model/text/byte_level_tokenizer.h"
#include "model/text/sentencepiece_tokenizer.h"

namespace tessera::model {

Tokenizer::Tokenizer(TokenTable table, const gguf::Metadata& metadata, const AddedByDefault& added)
    : table_(std::move(table)),
      splitter_(table_, metadata),
      adds_bos_(table_.bos() && table_.asks_for_bos().value_or(added.bos)),
      adds_eos_(table_.eos() && table_.asks_for_eos().value_or(added.eos)) {}

std::vector<TokenId> Tokenizer::encode(std::string_view text, const TokenizeSettings& settings) const {
  std::vector<TokenId> tokens;
  if (settings.add_special && adds_bos_) tokens.push_back(*bos());
  bool begins = true;
  for (const Fragment& part : splitter_.split(text, settings.parse_special)) {
    if (part.token == Fragment::kNoToken) {
      encode_plain(part.text, begins, tokens);
    } else {
      tokens.push_back(part.token);
    }
    begins = part.token != Fragment::kNoToken;
  }
  if (settings.add_special && adds_eos_) tokens.push_back(*eos());
  return tokens;
}

bool Tokenizer::is_special(TokenId token) const {
  const TokenType type = table_.type(token);
  return type == TokenType::control || type == TokenType::unknown || type == TokenType::user_defined;
}

std::string Tokenizer::piece(TokenId token) const {
  return is_special(token) ? table_.text(token) : spell_plain(token);
}

std::string Tokenizer::decode(std::span<const TokenId> tokens, const DecodeSettings& settings) const {
  std::string text;
  bool begins = prefixes_space();
  for (const TokenId token : tokens) {
    assert(token >= 0 && static_cast<std::size_t>(token) < size());
    const bool left_out =
        is_special(token) && table_.type(token) != TokenType::user_defined && !settings.spell_control;
    const std::string spelled = left_out ? std::string() : piece(token);
    const bool drops_prefix = begins && !is_special(token) && spelled.starts_with(' ');
    text += std::string_view(spelled).substr(drops_prefix ? 1 : 0);
    begins = prefixes_space() && is_special(token);
  }
  return text;
}

std::unique_ptr<Tokenizer> make_tokenizer(const gguf::Metadata& metadata, const std::string& file) {
  const auto model = metadata.text("tokenizer.ggml.model");
  if (!model) throw BadFileError({.file = file}, "tokenizer.ggml.model is missing: there is no tokenizer");
  if (*model == "llama") return make_sentencepiece_tokenizer(metadata, file);
  if (*model == "gpt2") return make_byte_level_tokenizer(metadata, file);
  throw BadFileError(
      {.file = file},
      fmt::format("the tokenizer is of the kind '{}'; known are llama (SentencePiece) and gpt2 "
                  "(byte-level BPE)",
                  printable(*model)));
}

}  // namespace tessera::model
