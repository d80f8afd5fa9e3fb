#include "model/text/hf_tokenizer_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "model/text/code_points.h"
#include "model/text/pre_tokenizer.h"
#include "model/text/pre_tokenizer_kinds.h"
#include "model/text/tokenizer_metadata.h"

namespace tessera::model {
namespace {

constexpr const char* kSpace = "▁";

/// Finding the parts of a token takes the square of its length.
constexpr std::size_t kLongestToken = 16384;

json::Value replace(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

/// All tokens with their ids. Those that are cut out before stand here too: only so does a tokenizer.json say
/// the id of an added token in the midst of others.
json::Value ids_of(const TokenTable& tokens) {
  json::Value ids = json::Value::object();
  for (TokenId id = 0; static_cast<std::size_t>(id) < tokens.size(); ++id) {
    if (!is_padding(tokens, id)) ids[tokens.text(id)] = id;
  }
  return ids;
}

json::Value bpe(const TokenTable& tokens, json::Value merges) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", ids_of(tokens)},
          {"merges", std::move(merges)}};
}

/// The step or steps in one "normalizer" or "decoder".
json::Value sequence(const char* list_key, json::Value steps) {
  if (steps.empty()) return nullptr;
  if (steps.size() == 1) return steps.front();
  return {{"type", "Sequence"}, {list_key, std::move(steps)}};
}

struct ScoredMerge {
  float score;
  TokenId whole;
  TokenId left;
  TokenId right;
};

/// Whether the token is cut out of texts before any merging.
bool is_cut_out(TokenType type) {
  return type == TokenType::control || type == TokenType::unknown || type == TokenType::user_defined;
}

void add_merges(const TokenTable& tokens, TokenId whole, std::vector<ScoredMerge>& merges) {
  const std::string_view text = tokens.text(whole);
  for (std::size_t at = character_bytes(text, 0); at < text.size(); at += character_bytes(text, at)) {
    const auto left = tokens.find(text.substr(0, at));
    const auto right = left ? tokens.find(text.substr(at)) : std::nullopt;
    if (right) merges.push_back({tokens.score(whole), whole, *left, *right});
  }
}

json::Value merges_by_score(const TokenTable& tokens, const std::string& file) {
  std::vector<ScoredMerge> merges;
  for (TokenId id = 0; static_cast<std::size_t>(id) < tokens.size(); ++id) {
    if (is_cut_out(tokens.type(id)) || is_padding(tokens, id)) continue;
    if (tokens.text(id).size() > kLongestToken) {
      throw BadFileError({.file = file},
                         fmt::format("token {} ('{}') has {} bytes, no tokenizer has that", id,
                                     printable(tokens.text(id), 40), tokens.text(id).size()));
    }
    add_merges(tokens, id, merges);
  }
  std::ranges::sort(merges, [](const ScoredMerge& a, const ScoredMerge& b) {
    return std::tuple(-a.score, a.whole, a.left, a.right) < std::tuple(-b.score, b.whole, b.left, b.right);
  });
  json::Value pairs = json::Value::array();
  for (const ScoredMerge& merge : merges)
    pairs.push_back({tokens.text(merge.left), tokens.text(merge.right)});
  return pairs;
}

}  // namespace

bool is_padding(const TokenTable& tokens, TokenId token) {
  return tokens.type(token) == TokenType::unused && tokens.text(token) == fmt::format("[PAD{}]", token);
}

json::Value described_byte_level_model(const gguf::Metadata& metadata, const Tokenizer& tokenizer) {
  const std::string name = metadata.text("tokenizer.ggml.pre").value_or("default");
  json::Value pairs = json::Value::array();
  for (const std::string& merge : *metadata.texts("tokenizer.ggml.merges")) {
    const std::size_t space = merge.find(' ', 1);  // the left part may begin with a space
    pairs.push_back({merge.substr(0, space), merge.substr(space + 1)});
  }
  json::Value normalizers = json::Value::array();
  for (const std::string& type : normalizer_types(metadata)) normalizers.push_back({{"type", type}});
  json::Value model = bpe(tokenizer.table(), std::move(pairs));
  model["ignore_merges"] = find_pre_tokenizer_kind(name)->whole_words == WholeWordTokens::yes;
  return {{"normalizer", sequence("normalizers", std::move(normalizers))},
          {"pre_tokenizer", described_pre_tokenizer(name)},
          {"model", std::move(model)},
          {"decoder",
           {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}}};
}

json::Value described_sentencepiece_model(const gguf::Metadata& metadata, const Tokenizer& tokenizer,
                                          const std::string& file) {
  const TokenTable& tokens = tokenizer.table();
  json::Value model = bpe(tokens, merges_by_score(tokens, file));
  model["byte_fallback"] = true;
  model["fuse_unk"] = true;
  if (tokens.unknown()) model["unk_token"] = tokens.text(*tokens.unknown());
  json::Value normalizers = json::Value::array();
  json::Value decoders = {replace(kSpace, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (metadata.boolean("tokenizer.ggml.add_space_prefix").value_or(true)) {
    normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  normalizers.push_back(replace(" ", kSpace));
  return {{"normalizer", sequence("normalizers", std::move(normalizers))},
          {"pre_tokenizer", nullptr},
          {"model", std::move(model)},
          {"decoder", sequence("decoders", std::move(decoders))}};
}

}  // namespace tessera::model
