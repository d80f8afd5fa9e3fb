#include "model/text/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "foundation/base/printable.h"

namespace tessera::model {
namespace {

using json::JsonObject;

std::optional<std::uint64_t> parse_id(const std::string& text) {
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

/// Content and flag of a token object; empty when it is not one.
std::optional<AddedToken> parse_token(const json::Value& value) {
  if (!value.is_object()) return std::nullopt;
  const auto content = value.find("content");
  if (content == value.end() || !content->is_string()) return std::nullopt;
  const auto special = value.find("special");
  return AddedToken{.content = content->get<std::string>(),
                    .special = special != value.end() && special->is_boolean() && special->get<bool>()};
}

void sort_by_id(std::vector<AddedToken>& tokens) { std::ranges::stable_sort(tokens, {}, &AddedToken::id); }

}  // namespace

std::vector<AddedToken> added_tokens_of_tokenizer(const JsonObject& tokenizer) {
  constexpr std::string_view kKey = "added_tokens";
  std::vector<AddedToken> tokens;
  const json::Value* list = tokenizer.find(kKey);
  if (list == nullptr) return tokens;
  if (!list->is_array()) tokenizer.fail(kKey, "is not an array");
  for (const json::Value& value : *list) {
    auto token = parse_token(value);
    const bool has_id = token && value.contains("id") && value["id"].is_number_unsigned();
    if (!has_id) tokenizer.fail(kKey, fmt::format("entry {} has no id or no content", tokens.size()));
    token->id = value["id"].get<std::uint64_t>();
    tokens.push_back(std::move(*token));
  }
  return tokens;
}

std::vector<AddedToken> added_tokens_of_tokenizer_config(const JsonObject& tokenizer_config) {
  constexpr std::string_view kKey = "added_tokens_decoder";
  std::vector<AddedToken> tokens;
  const json::Value* object = tokenizer_config.find(kKey);
  if (object == nullptr) return tokens;
  if (!object->is_object()) tokenizer_config.fail(kKey, "is not an object");
  for (const auto& [key, value] : object->items()) {
    const auto id = parse_id(key);
    auto token = parse_token(value);
    if (!id || !token)
      tokenizer_config.fail(kKey, fmt::format("entry \"{}\" is not a token under its id", printable(key)));
    token->id = *id;
    tokens.push_back(std::move(*token));
  }
  sort_by_id(tokens);
  return tokens;
}

std::vector<AddedToken> added_tokens_of_added_tokens_file(const JsonObject& added_tokens) {
  std::vector<AddedToken> tokens;
  for (const std::string& content : added_tokens.keys()) {
    const auto id = added_tokens.integer(content);
    if (!id || *id < 0) added_tokens.fail(content, "has no token id");
    tokens.push_back({.id = static_cast<std::uint64_t>(*id), .content = content});
  }
  sort_by_id(tokens);
  return tokens;
}

}  // namespace tessera::model
