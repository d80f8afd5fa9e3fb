#include "model/text/hf_tokenizer.h"

#include <optional>
#include <utility>

#include "model/text/chat_template.h"
#include "model/text/hf_tokenizer_model.h"
#include "model/text/sentencepiece_model_writer.h"
#include "model/text/special_tokens.h"
#include "model/text/tokenizer.h"

namespace tessera::model {
namespace {

bool is_special(TokenType type) { return type == TokenType::control || type == TokenType::unknown; }

json::Value described_token(const Tokenizer& tokenizer, TokenId id) {
  return {{"content", tokenizer.table().text(id)},
          {"single_word", false},
          {"lstrip", false},
          {"rstrip", tokenizer.takes_space_behind(id)},
          {"normalized", false},
          {"special", is_special(tokenizer.table().type(id))}};
}

/// All tokens that are cut out of a text before the rest is tokenized.
json::Value added_tokens(const Tokenizer& tokenizer) {
  json::Value added = json::Value::array();
  for (TokenId id = 0; static_cast<std::size_t>(id) < tokenizer.size(); ++id) {
    const TokenType type = tokenizer.table().type(id);
    if (!is_special(type) && type != TokenType::user_defined) continue;
    json::Value token = described_token(tokenizer, id);
    token["id"] = id;
    added.push_back(std::move(token));
  }
  return added;
}

/// The tokens that a SentencePiece model does not hold, by id.
json::Value added_to_sentencepiece(const Tokenizer& tokenizer) {
  json::Value added = json::Value::object();
  for (TokenId id = 0; static_cast<std::size_t>(id) < tokenizer.size(); ++id) {
    if (is_added_to_sentencepiece(tokenizer.table(), id))
      added[std::to_string(id)] = described_token(tokenizer, id);
  }
  return added;
}

/// A template of tokens around the texts "A" and "B".
class Template {
 public:
  explicit Template(const TokenTable& tokens) : tokens_(tokens) {}

  Template& token(std::optional<TokenId> id) {
    if (!id) return *this;
    const std::string& text = tokens_.text(*id);
    pieces_.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
    used_[text] = {{"id", text}, {"ids", {*id}}, {"tokens", {text}}};
    return *this;
  }
  Template& text(const char* name, int type) {
    pieces_.push_back({{"Sequence", {{"id", name}, {"type_id", type}}}});
    return *this;
  }
  const json::Value& pieces() const { return pieces_; }
  const json::Value& used() const { return used_; }

 private:
  const TokenTable& tokens_;
  json::Value pieces_ = json::Value::array();
  json::Value used_ = json::Value::object();
};

/// What stands between two texts: the separator where the metadata ask for one; where they deny it, the token
/// that begins a text.
std::optional<TokenId> separator(const gguf::Metadata& metadata, const Tokenizer& tokenizer,
                                 std::optional<TokenId> first) {
  const auto adds = metadata.boolean("tokenizer.ggml.add_sep_token");
  if (!adds) return std::nullopt;
  if (!*adds) return first;
  const auto id = metadata.unsigned_integer("tokenizer.ggml.seperator_token_id");
  return id && *id < tokenizer.size() ? std::optional(static_cast<TokenId>(*id)) : tokenizer.eos();
}

json::Value post_processor(const gguf::Metadata& metadata, const Tokenizer& tokenizer, bool is_byte_level) {
  const json::Value byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
  const auto first = tokenizer.adds_bos() ? tokenizer.bos() : std::nullopt;
  const auto last = tokenizer.adds_eos() ? tokenizer.eos() : std::nullopt;
  if (!first && !last) return is_byte_level ? byte_level : json::Value();
  Template single(tokenizer.table());
  single.token(first).text("A", 0).token(last);
  Template pair(tokenizer.table());
  pair.token(first).text("A", 0).token(separator(metadata, tokenizer, first)).text("B", 1).token(last);
  json::Value around = {{"type", "TemplateProcessing"},
                        {"single", single.pieces()},
                        {"pair", pair.pieces()},
                        {"special_tokens", pair.used()}};
  if (!is_byte_level) return around;
  return {{"type", "Sequence"}, {"processors", {byte_level, std::move(around)}}};
}

json::Value tokenizer_config(const gguf::Metadata& metadata, const Tokenizer& tokenizer) {
  json::Value config = special_token_config(metadata, tokenizer.table());
  // The class that takes tokenizer.json as it is.
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["clean_up_tokenization_spaces"] = false;
  if (const auto prefix = metadata.boolean("tokenizer.ggml.add_space_prefix"))
    config["add_prefix_space"] = *prefix;
  json::Value chat = chat_template_config(metadata);
  if (!chat.is_null()) config["chat_template"] = std::move(chat);
  return config;
}

}  // namespace

HfTokenizerFiles hf_tokenizer_files(const gguf::Metadata& metadata, const std::string& file) {
  const auto tokenizer = make_tokenizer(metadata, file);
  const bool is_byte_level = metadata.text("tokenizer.ggml.model") == "gpt2";
  json::Value described = is_byte_level ? described_byte_level_model(metadata, *tokenizer)
                                        : described_sentencepiece_model(metadata, *tokenizer, file);
  described["version"] = "1.0";
  described["truncation"] = nullptr;
  described["padding"] = nullptr;
  described["added_tokens"] = added_tokens(*tokenizer);
  described["post_processor"] = post_processor(metadata, *tokenizer, is_byte_level);
  json::Value config = tokenizer_config(metadata, *tokenizer);
  if (!is_byte_level) config["added_tokens_decoder"] = added_to_sentencepiece(*tokenizer);
  return {std::move(described), std::move(config),
          is_byte_level ? std::string() : sentencepiece_model(metadata, *tokenizer)};
}

}  // namespace tessera::model
