#include "model/text/prompt.h"

#include <algorithm>
#include <array>
#include <set>

namespace tessera::model {
namespace {

constexpr std::array kKeys = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                              "tokenizer.ggml.eom_token_id"};

/// Ends of turns and texts where metadata name but one of them: Llama 3, ChatML (Qwen), GPT-2, Phi 3.
constexpr std::array kSpellings = {"<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|endoftext|>", "<|end|>"};

}  // namespace

std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, std::string_view text) {
  auto tokens = tokenizer.encode(text, {.add_special = false});
  if (tokenizer.adds_bos()) tokens.insert(tokens.begin(), *tokenizer.bos());
  return tokens;
}

std::vector<TokenId> end_tokens(const Tokenizer& tokenizer, const gguf::Metadata& metadata) {
  std::set<TokenId> tokens;
  for (const char* key : kKeys) {
    const auto id = metadata.unsigned_integer(key);
    if (id && *id < tokenizer.size()) tokens.insert(static_cast<TokenId>(*id));
  }
  for (const char* spelling : kSpellings) {
    if (const auto token = tokenizer.table().find(spelling)) tokens.insert(*token);
  }
  return {tokens.begin(), tokens.end()};
}

}  // namespace tessera::model
