#include "model/text/byte_level_vocabulary.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <string_view>

#include "foundation/base/printable.h"
#include "model/text/added_tokens.h"
#include "model/text/pre_tokenizer.h"
#include "model/text/special_tokens.h"

namespace tessera::model {
namespace {

using json::JsonObject;

void check_kind(const JsonObject& tokenizer, const JsonObject& model) {
  const auto type = model.text("type").value_or("BPE");
  if (type != "BPE")
    tokenizer.fail("model",
                   fmt::format("is of the type {}, only byte-level BPE is supported", printable(type)));
  if (model.boolean("byte_fallback").value_or(false)) {
    tokenizer.fail(
        "model", "is a SentencePiece vocabulary without its scores: put its tokenizer.model into the folder");
  }
}

/// The place of `id`, checked: an id beyond the embedding would be a token that the model cannot take.
std::size_t slot(std::uint64_t id, std::string_view token, const JsonObject& source,
                 const Vocabulary& vocabulary) {
  if (id >= vocabulary.tokens.size()) {
    source.fail(token, fmt::format("has the token id {}, but vocab_size of config.json is {}", id,
                                   vocabulary.tokens.size()));
  }
  return static_cast<std::size_t>(id);
}

void add_base_tokens(const JsonObject& model, Vocabulary& vocabulary) {
  const JsonObject tokens = model.object("vocab");
  if (tokens.empty()) model.fail("vocab", "is missing or empty");
  for (const std::string& token : tokens.keys()) {
    const auto id = tokens.integer(token);
    if (!id || *id < 0) tokens.fail(token, "has no token id");
    const auto at = slot(static_cast<std::uint64_t>(*id), token, tokens, vocabulary);
    if (vocabulary.types[at] != TokenType::unused) {
      tokens.fail(token, fmt::format("and another token have the same id {}", *id));
    }
    vocabulary.tokens[at] = token;
    vocabulary.types[at] = TokenType::normal;
  }
}

void add_token(const AddedToken& token, const JsonObject& source, Vocabulary& vocabulary) {
  const auto at = slot(token.id, token.content, source, vocabulary);
  const bool special = token.special || looks_special(token.content);
  vocabulary.tokens[at] = special ? token.content : user_defined_spelling(token.content);
  vocabulary.types[at] = special ? TokenType::control : TokenType::user_defined;
}

/// Tokens that tokenizer_config.json names as BOS, EOS and so on are control tokens even where tokenizer.json
/// has them among the ordinary ones.
void mark_named_tokens(const JsonObject& tokenizer_config, Vocabulary& vocabulary) {
  const auto names = named_special_tokens(tokenizer_config);
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] == TokenType::normal && names.contains(vocabulary.tokens[id])) {
      vocabulary.types[id] = TokenType::control;
    }
  }
}

/// One merge as "left right". Newer files have it as a pair, whose parts may hold spaces; those are spelled
/// "Ġ", as the byte-level alphabet has them.
std::string merge_of(const json::Value& merge) {
  constexpr std::string_view kSpelledSpace = "Ġ";
  if (merge.is_string()) return merge.get<std::string>();
  if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) return {};
  std::string text;
  for (const json::Value& part : merge) {
    if (!text.empty()) text += ' ';
    for (const char c : part.get_ref<const std::string&>())
      text += c == ' ' ? std::string(kSpelledSpace) : std::string(1, c);
  }
  return text;
}

void add_merges(const JsonObject& model, Vocabulary& vocabulary) {
  const json::Value* merges = model.find("merges");
  if (merges == nullptr || !merges->is_array()) model.fail("merges", "is missing");
  vocabulary.merges.reserve(merges->size());
  for (const json::Value& merge : *merges) {
    std::string text = merge_of(merge);
    if (text.find(' ') == std::string::npos) {
      model.fail("merges", fmt::format("entry {} is not a pair of tokens", vocabulary.merges.size()));
    }
    vocabulary.merges.push_back(std::move(text));
  }
}

}  // namespace

Vocabulary read_byte_level_vocabulary(const JsonObject& tokenizer, const JsonObject& tokenizer_config,
                                      std::uint32_t size, const std::string& pre_tokenizer) {
  const JsonObject model = tokenizer.object("model");
  check_kind(tokenizer, model);
  Vocabulary vocabulary = padded_vocabulary(size);
  vocabulary.model = "gpt2";
  vocabulary.pre = pre_tokenizer.empty() ? pre_tokenizer_name(tokenizer) : pre_tokenizer;
  add_base_tokens(model, vocabulary);
  mark_named_tokens(tokenizer_config, vocabulary);
  std::set<std::uint64_t> added;
  for (const AddedToken& token : added_tokens_of_tokenizer(tokenizer)) {
    add_token(token, tokenizer, vocabulary);
    added.insert(token.id);
  }
  for (const AddedToken& token : added_tokens_of_tokenizer_config(tokenizer_config)) {
    if (!added.contains(token.id)) add_token(token, tokenizer_config, vocabulary);
  }
  add_merges(model, vocabulary);
  return vocabulary;
}

}  // namespace tessera::model
