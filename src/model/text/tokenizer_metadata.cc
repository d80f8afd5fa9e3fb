#include "model/text/tokenizer_metadata.h"

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "foundation/base/error.h"
#include "model/text/byte_level_vocabulary.h"
#include "model/text/chat_template.h"
#include "model/text/sentencepiece_vocabulary.h"
#include "model/text/special_tokens.h"

namespace tessera::model {
namespace {

/// A normalizer that the runtime knows as a flag; all others are part of the vocabulary's kind.
struct NormalizerRule {
  std::string_view type;
  std::string_view key;
};

constexpr std::array kNormalizers = {
    NormalizerRule{"NFC", "tokenizer.ggml.normalizer.nfc"},
    NormalizerRule{"Lowercase", "tokenizer.ggml.normalizer.lowercase"},
    NormalizerRule{"StripAccents", "tokenizer.ggml.normalizer.strip_accents"},
};

Vocabulary read_vocabulary(const std::filesystem::path& folder, const TokenizerFiles& files,
                           std::uint32_t size, const std::string& pre_tokenizer) {
  if (std::filesystem::is_regular_file(folder / "tokenizer.model"))
    return read_sentencepiece_vocabulary(folder, size);
  if (!files.tokenizer.empty()) {
    return read_byte_level_vocabulary(files.tokenizer, files.tokenizer_config, size, pre_tokenizer);
  }
  throw BadFileError({.file = folder.string()},
                     "there is neither a tokenizer.model nor a tokenizer.json in this folder");
}

void add_vocabulary(Vocabulary vocabulary, gguf::Metadata& metadata) {
  std::vector<std::int32_t> types;
  for (const TokenType type : vocabulary.types) types.push_back(static_cast<std::int32_t>(type));
  metadata.set("tokenizer.ggml.model", vocabulary.model);
  metadata.set("tokenizer.ggml.pre", vocabulary.pre);
  metadata.set("tokenizer.ggml.tokens", gguf::Array(std::move(vocabulary.tokens)));
  if (!vocabulary.scores.empty())
    metadata.set("tokenizer.ggml.scores", gguf::Array(std::move(vocabulary.scores)));
  metadata.set("tokenizer.ggml.token_type", gguf::Array(std::move(types)));
  if (!vocabulary.merges.empty())
    metadata.set("tokenizer.ggml.merges", gguf::Array(std::move(vocabulary.merges)));
}

void add_normalizers(const json::JsonObject& tokenizer, gguf::Metadata& metadata) {
  std::vector<const json::Value*> waiting{tokenizer.find("normalizer")};
  while (!waiting.empty()) {
    const json::Value* step = waiting.back();
    waiting.pop_back();
    if (step == nullptr || !step->is_object()) continue;
    for (const NormalizerRule& rule : kNormalizers) {
      if (step->contains("type") && (*step)["type"] == rule.type) metadata.set(rule.key, true);
    }
    if (!step->contains("normalizers") || !(*step)["normalizers"].is_array()) continue;
    for (const json::Value& inner : (*step)["normalizers"]) waiting.push_back(&inner);
  }
}

}  // namespace

void add_tokenizer_metadata(const std::filesystem::path& folder, const Family& family,
                            const json::JsonObject& config, std::uint32_t vocabulary_size,
                            const std::string& pre_tokenizer, gguf::Metadata& metadata) {
  const TokenizerFiles files{json::read_json_object_if_present(folder / "tokenizer.json"),
                             json::read_json_object_if_present(folder / "tokenizer_config.json"), config};
  const auto space_prefix = files.tokenizer_config.boolean("add_prefix_space");
  if (family.writes_add_space_prefix && space_prefix) {
    metadata.set("tokenizer.ggml.add_space_prefix", *space_prefix);
  }
  add_vocabulary(read_vocabulary(folder, files, vocabulary_size, pre_tokenizer), metadata);
  add_special_token_metadata(files, vocabulary_size, metadata);
  add_chat_template_metadata(folder, files.tokenizer_config, metadata);
  add_normalizers(files.tokenizer, metadata);
  for (const VocabularyRule& rule : family.vocabularies) {
    if (rule.vocabulary != vocabulary_size) continue;
    metadata.set(rule.key, rule.number ? gguf::Value(*rule.number) : gguf::Value(false));
  }
}

std::vector<std::string> normalizer_types(const gguf::Metadata& metadata) {
  std::vector<std::string> types;
  for (const NormalizerRule& rule : kNormalizers) {
    if (metadata.boolean(rule.key).value_or(false)) types.emplace_back(rule.type);
  }
  return types;
}

}  // namespace tessera::model
