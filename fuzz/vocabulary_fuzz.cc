// A tokenizer made of arbitrary metadata: refused with BadFileError, or it encodes. So are the files that a
// Hugging Face folder has for it.
//
// The input is lines. The first is tokenizer.ggml.pre, or nothing for SentencePiece; then a line "+LEFT
// RIGHT" is a merge,
// "=KEY NUMBER" an entry of the metadata, and any other a token, its first byte the type and the score.
#include <charconv>
#include <string>
#include <vector>

#include "fuzz_check.h"
#include "model/text/hf_tokenizer.h"
#include "model/text/tokenizer.h"

using namespace tessera;

namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

void set_number(std::string_view line, gguf::Metadata& metadata) {
  const std::size_t space = std::min(line.find(' '), line.size());
  std::int64_t number = 0;
  std::from_chars(line.data() + space + (space < line.size() ? 1 : 0), line.data() + line.size(), number);
  const std::string key = "tokenizer.ggml." + std::string(line.substr(0, space));
  metadata.set(key, number == -1 ? gguf::Value(true) : gguf::Value(number));
}

gguf::Metadata metadata_of(std::string_view input) {
  gguf::Metadata metadata;
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<float> scores;
  std::vector<std::string> merges;
  const auto lines = lines_of(input);
  const std::string pre(lines.empty() ? "" : lines.front());
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    if (line.starts_with('+')) {
      merges.emplace_back(line.substr(1));
    } else if (line.starts_with('=')) {
      set_number(line.substr(1), metadata);
    } else {
      tokens.emplace_back(line.substr(line.empty() ? 0 : 1));
      types.push_back(line.empty() ? 1 : line.front() % 8);
      scores.push_back(line.empty() ? 0.0f : static_cast<float>(line.front()));
    }
  }
  metadata.set("tokenizer.ggml.model", std::string(pre.empty() ? "llama" : "gpt2"));
  if (!pre.empty()) metadata.set("tokenizer.ggml.pre", pre);
  metadata.set("tokenizer.ggml.tokens", gguf::Array(tokens));
  metadata.set("tokenizer.ggml.token_type", gguf::Array(types));
  metadata.set("tokenizer.ggml.scores", gguf::Array(scores));
  metadata.set("tokenizer.ggml.merges", gguf::Array(merges));
  return metadata;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const std::string_view input(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto tokenizer = model::make_tokenizer(metadata_of(input), "input");
    for (const bool special : {false, true}) {
      const auto tokens = tokenizer->encode(input, {.add_special = special, .parse_special = special});
      for (const model::TokenId token : tokens) {
        fuzz::check(token >= 0 && static_cast<std::size_t>(token) < tokenizer->size());
      }
      tokenizer->decode(tokens, {.spell_control = special});
    }
  });
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const std::string_view input(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    fuzz::check(model::hf_tokenizer_files(metadata_of(input), "input").tokenizer.contains("model"));
  });
  return 0;
}
