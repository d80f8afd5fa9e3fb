#include "model/text/token_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <variant>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"

namespace tessera::model {
namespace {

constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";

/// A token that the metadata may name by its id, and the id it has in SentencePiece vocabularies whose
/// metadata are silent (older files).
struct NamedToken {
  std::string_view key;
  TokenId sentencepiece_default;
};
constexpr std::array kNamedTokens = {NamedToken{"tokenizer.ggml.bos_token_id", 1},
                                     NamedToken{"tokenizer.ggml.eos_token_id", 2},
                                     NamedToken{"tokenizer.ggml.unknown_token_id", 0}};

/// Texts that llama.cpp takes for control tokens whatever type the metadata give them: they end a turn or a
/// text, or mark the parts of a fill-in-the-middle prompt (what it says for each when it loads such a
/// vocabulary).
constexpr std::array<std::string_view, 60> kAlwaysControl = {"<|eot_id|>",
                                                             "<|im_end|>",
                                                             "<|end|>",
                                                             "<end_of_turn>",
                                                             "<|endoftext|>",
                                                             "<|end_of_text|>",
                                                             "<EOT>",
                                                             "_<EOT>",
                                                             "[EOT]",
                                                             "<｜end▁of▁sentence｜>",
                                                             "<end_of_utterance>",
                                                             "<|eom_id|>",
                                                             "<|return|>",
                                                             "<|call|>",
                                                             "<|flush|>",
                                                             "<|calls|>",
                                                             "</s>",
                                                             "[EOS]",
                                                             "<eos>",
                                                             "<turn|>",
                                                             "<|tool_response>",
                                                             "[e~[",
                                                             "<|ifm|im_end|>",
                                                             "<|constrain|>",
                                                             "<|fim_prefix|>",
                                                             "<fim-prefix>",
                                                             "<fim_prefix>",
                                                             "<｜fim▁begin｜>",
                                                             "<PRE>",
                                                             "▁<PRE>",
                                                             "<|code_prefix|>",
                                                             "<|prefix|>",
                                                             "<|fim_suffix|>",
                                                             "<fim-suffix>",
                                                             "<fim_suffix>",
                                                             "<｜fim▁hole｜>",
                                                             "<SUF>",
                                                             "▁<SUF>",
                                                             "<|code_suffix|>",
                                                             "<|suffix|>",
                                                             "<|fim_middle|>",
                                                             "<fim-middle>",
                                                             "<fim_middle>",
                                                             "<｜fim▁end｜>",
                                                             "<MID>",
                                                             "▁<MID>",
                                                             "<|code_middle|>",
                                                             "<|middle|>",
                                                             "<|fim_pad|>",
                                                             "<fim-pad>",
                                                             "<fim_pad>",
                                                             "<PAD>",
                                                             "[PAD]",
                                                             "<|fim_repo|>",
                                                             "<|repo_name|>",
                                                             "<fim-repo>",
                                                             "<REPO>",
                                                             "<reponame>",
                                                             "<|file_sep|>",
                                                             "<|plamo:fim_prefix|>"};

[[noreturn]] void fail(const std::string& file, std::string_view key, const std::string& what_is_wrong) {
  throw BadFileError({.file = file}, fmt::format("{} {}", key, what_is_wrong));
}

/// The array under `key`; nullptr when the key is missing. Throws when it is no array of T of the
/// vocabulary's size.
template <class T>
const std::vector<T>* array_of(const gguf::Metadata& metadata, std::string_view key, std::size_t size,
                               const std::string& file) {
  const gguf::Value* value = metadata.find(key);
  if (value == nullptr) return nullptr;
  const auto* array = std::get_if<gguf::Array>(value);
  const auto* items = array == nullptr ? nullptr : std::get_if<std::vector<T>>(array);
  if (items == nullptr) fail(file, key, "has not the type it should have");
  if (items->size() != size) {
    fail(file, key, fmt::format("has {} entries, but there are {} tokens", items->size(), size));
  }
  return items;
}

/// A flag that may be missing; of another type than boolean, it is an error.
std::optional<bool> flag_of(const gguf::Metadata& metadata, std::string_view key, const std::string& file) {
  const auto flag = metadata.boolean(key);
  if (!flag && metadata.contains(key)) fail(file, key, "is not true or false");
  return flag;
}

}  // namespace

TokenTable::TokenTable(const gguf::Metadata& metadata, const std::string& file) {
  read_tokens(metadata, file);
  read_types(metadata, file);
  read_scores(metadata, file);
  read_ids(metadata, file);
  asks_for_bos_ = flag_of(metadata, "tokenizer.ggml.add_bos_token", file);
  asks_for_eos_ = flag_of(metadata, "tokenizer.ggml.add_eos_token", file);
}

void TokenTable::read_tokens(const gguf::Metadata& metadata, const std::string& file) {
  const auto* tokens = metadata.texts(kTokensKey);
  if (tokens == nullptr || tokens->empty())
    fail(file, kTokensKey, "is missing or empty: there is no tokenizer");
  if (tokens->size() > static_cast<std::size_t>(std::numeric_limits<TokenId>::max())) {
    fail(file, kTokensKey, fmt::format("has {} tokens, more than ids can count", tokens->size()));
  }
  tokens_ = *tokens;
  by_text_.reserve(tokens_.size());
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].empty()) tokens_[i] = fmt::format("[EMPTY_{}]", i);  // as llama.cpp calls them
    const auto [first, is_new] = by_text_.emplace(tokens_[i], static_cast<TokenId>(i));
    if (!is_new) {
      fail(file, kTokensKey,
           fmt::format("has '{}' twice, as {} and {}", printable(tokens_[i]), first->second, i));
    }
    longest_ = std::max(longest_, tokens_[i].size());
  }
}

void TokenTable::read_types(const gguf::Metadata& metadata, const std::string& file) {
  constexpr std::string_view kKey = "tokenizer.ggml.token_type";
  constexpr std::int32_t kUndefined = 0;  // as llama.cpp writes it; the same as normal
  types_.assign(size(), TokenType::normal);
  const auto* types = array_of<std::int32_t>(metadata, kKey, size(), file);
  for (std::size_t i = 0; types != nullptr && i < size(); ++i) {
    const std::int32_t type = (*types)[i];
    if (type == kUndefined) continue;
    const bool known = type >= static_cast<std::int32_t>(TokenType::normal) &&
                       type <= static_cast<std::int32_t>(TokenType::byte);
    if (!known) fail(file, kKey, fmt::format("gives token {} the unknown type {}", i, type));
    types_[i] = static_cast<TokenType>(type);
  }
  for (const std::string_view text : kAlwaysControl) {
    if (const auto token = find(text)) types_[static_cast<std::size_t>(*token)] = TokenType::control;
  }
}

void TokenTable::read_scores(const gguf::Metadata& metadata, const std::string& file) {
  constexpr std::string_view kKey = "tokenizer.ggml.scores";
  scores_.assign(size(), 0.0f);
  const auto* scores = array_of<float>(metadata, kKey, size(), file);
  if (scores == nullptr) return;
  scores_ = *scores;
  // A NaN has no place in an order; the infinities do.
  const auto bad = std::ranges::find_if(scores_, [](float score) { return std::isnan(score); });
  if (bad != scores_.end())
    fail(file, kKey, fmt::format("has no number for token {}", bad - scores_.begin()));
}

void TokenTable::read_ids(const gguf::Metadata& metadata, const std::string& file) {
  const bool is_sentencepiece = metadata.text("tokenizer.ggml.model") == "llama";
  for (std::size_t i = 0; i < kNamedTokens.size(); ++i) {
    const auto& [key, fallback] = kNamedTokens[i];
    if (!metadata.contains(key)) {
      if (is_sentencepiece && static_cast<std::size_t>(fallback) < size()) ids_[i] = fallback;
      continue;
    }
    const auto id = metadata.unsigned_integer(key);
    if (!id || *id >= size()) fail(file, key, fmt::format("is not the id of one of the {} tokens", size()));
    ids_[i] = static_cast<TokenId>(*id);
  }
}

std::optional<TokenId> TokenTable::find(std::string_view text) const {
  const auto found = by_text_.find(text);
  return found == by_text_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace tessera::model
