// Encoding arbitrary bytes under small vocabularies of every kind: every token is one of the vocabulary,
// decoding gives the text back where the kind promises it, and the order of the calls does not matter.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "fuzz_check.h"
#include "model/text/byte_alphabet.h"
#include "model/text/code_points.h"
#include "model/text/pre_tokenizer_kinds.h"
#include "model/text/tokenizer.h"

using namespace tessera;

namespace {

using Tokens = std::vector<model::TokenId>;

constexpr std::int32_t kNormal = 1;
constexpr std::int32_t kControl = 3;
constexpr std::int32_t kUserDefined = 4;
constexpr std::int32_t kByte = 6;

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;

  void add(std::string token, std::int32_t type = kNormal) {
    tokens.push_back(std::move(token));
    types.push_back(type);
  }
  /// Control and user-defined tokens, some of which overlap.
  void add_special() {
    for (const char* token : {"<s>", "</s>", "s><", "<|im_end|>"}) add(token, kControl);
    for (const char* token : {"<s", "\n\n", " x", "aa"}) add(token, kUserDefined);
  }
  gguf::Metadata metadata(const std::string& model) const {
    gguf::Metadata metadata;
    metadata.set("tokenizer.ggml.model", model);
    metadata.set("tokenizer.ggml.tokens", gguf::Array(tokens));
    metadata.set("tokenizer.ggml.token_type", gguf::Array(types));
    return metadata;
  }
};

gguf::Metadata sentencepiece(bool prefixes_space) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  Vocabulary vocabulary;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    vocabulary.add(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">", kByte);
  }
  for (const char* token : {"▁", "▁▁", "▁▁▁▁", "a", "b", "ab", "▁ab", "abab", "é", "b▁", "漢"})
    vocabulary.add(token);
  vocabulary.add_special();
  std::vector<float> scores(vocabulary.tokens.size());
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i % 7);
  gguf::Metadata metadata = vocabulary.metadata("llama");
  metadata.set("tokenizer.ggml.scores", gguf::Array(scores));
  metadata.set("tokenizer.ggml.add_space_prefix", prefixes_space);
  return metadata;
}

gguf::Metadata byte_level(std::string_view kind) {
  Vocabulary vocabulary;
  for (unsigned byte = 0; byte < 256; ++byte)
    vocabulary.add(model::spelled_byte(static_cast<unsigned char>(byte)));
  for (const char* token : {"ab", "abab", "Ġa", "ĠĠ", "ĊĊ", "00", "000"}) vocabulary.add(token);
  vocabulary.add_special();
  gguf::Metadata metadata = vocabulary.metadata("gpt2");
  metadata.set("tokenizer.ggml.pre", std::string(kind));
  metadata.set("tokenizer.ggml.merges",
               gguf::Array(std::vector<std::string>{"0 0", "a b", "Ġ a", "Ġ Ġ", "ab ab", "00 0", "Ċ Ċ"}));
  return metadata;
}

struct Target {
  std::unique_ptr<model::Tokenizer> tokenizer;
  bool is_sentencepiece;
};

std::vector<Target> all_targets() {
  std::vector<Target> targets;
  for (const bool prefixes_space : {false, true}) {
    targets.push_back({model::make_tokenizer(sentencepiece(prefixes_space), "sentencepiece"), true});
  }
  for (const std::string_view kind : model::pre_tokenizer_kind_names()) {
    targets.push_back({model::make_tokenizer(byte_level(kind), std::string(kind)), false});
  }
  return targets;
}

bool is_valid(std::string_view text) {
  std::string again;
  for (const char32_t code_point : model::code_points_of(text)) model::append_utf8(code_point, again);
  return again == text;
}

void check_tokens(const Target& target, std::string_view text, const model::TokenizeSettings& settings) {
  const Tokens tokens = target.tokenizer->encode(text, settings);
  for (const model::TokenId token : tokens) {
    fuzz::check(token >= 0 && static_cast<std::size_t>(token) < target.tokenizer->size());
  }
  fuzz::check(target.tokenizer->encode(text, settings) == tokens);
  const std::string decoded = target.tokenizer->decode(tokens, {.spell_control = true});
  const bool promised =
      is_valid(text) && (!target.is_sentencepiece || text.find("▁") == std::string_view::npos);
  if (promised) fuzz::check(decoded == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<Target> kTargets = all_targets();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // One vocabulary per input, told by its bytes, so that long texts stay quick.
  std::size_t chosen = size;
  for (const char byte : text) chosen = chosen * 31 + static_cast<unsigned char>(byte);
  const Target& target = kTargets[chosen % kTargets.size()];
  for (const bool parse_special : {false, true}) {
    check_tokens(target, text, {.add_special = false, .parse_special = parse_special});
  }
  return 0;
}
