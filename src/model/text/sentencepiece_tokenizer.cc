#include "model/text/sentencepiece_tokenizer.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "model/text/code_points.h"
#include "model/text/merge_symbols.h"

namespace tessera::model {
namespace {

constexpr std::string_view kSpace = "▁";
constexpr AddedByDefault kAddedByDefault = {.bos = true};

std::string with_visible_spaces(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 2);
  for (const char c : text) {
    if (c == ' ') {
      escaped += kSpace;
    } else {
      escaped += c;
    }
  }
  return escaped;
}

/// Whether "▁" stands in `token` behind anything but "▁".
bool has_space_inside(std::string_view token) {
  while (token.starts_with(kSpace)) token.remove_prefix(kSpace.size());
  return token.find(kSpace) != std::string_view::npos;
}

class SentencepieceTokenizer final : public Tokenizer {
 public:
  SentencepieceTokenizer(const gguf::Metadata& metadata, const std::string& file)
      : Tokenizer(TokenTable(metadata, file), metadata, kAddedByDefault),
        prefixes_space_(metadata.boolean("tokenizer.ggml.add_space_prefix").value_or(true)) {
    for (std::size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
      const auto token = table().find(fmt::format("<0x{:02X}>", byte));
      const auto literal = token ? token : table().find(std::string(1, static_cast<char>(byte)));
      byte_tokens_[byte] = literal ? literal : table().unknown();
    }
    for (std::size_t i = 0; i < size(); ++i) {
      if (has_space_inside(table().text(static_cast<TokenId>(i)))) words_are_separate_ = false;
    }
  }

 private:
  using Tokens = std::vector<TokenId>;

  void encode_plain(std::string_view text, bool begins, Tokens& tokens) const override {
    std::string spaced = begins && prefixes_space_ ? " " : "";
    spaced += text;
    const std::string escaped = with_visible_spaces(spaced);
    SymbolMerger merger;
    std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>>
        known;  // word to its range of tokens
    for (std::string_view rest = escaped; !rest.empty();) {
      const std::string_view word = rest.substr(0, word_bytes(rest));
      rest.remove_prefix(word.size());
      const auto [found, is_new] = known.try_emplace(word, tokens.size(), 0);
      auto& [begin, end] = found->second;
      if (is_new) {
        encode_word(word, merger, tokens);
        end = tokens.size();
      } else {
        for (std::size_t i = begin; i < end; ++i) tokens.push_back(tokens[i]);
      }
    }
  }

  /// Bytes up to the first place that no merge can cross: a "▁" behind another character, when no token has
  /// that.
  std::size_t word_bytes(std::string_view text) const {
    if (!words_are_separate_) return text.size();
    std::size_t at = 0;
    while (text.substr(at).starts_with(kSpace)) at += kSpace.size();
    while (at < text.size() && !text.substr(at).starts_with(kSpace)) at += character_bytes(text, at);
    return at;
  }

  void encode_word(std::string_view word, SymbolMerger& merger, Tokens& tokens) const {
    merger.clear();
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t bytes = character_bytes(word, at);
      merger.add(static_cast<std::uint32_t>(bytes),
                 table().find(word.substr(at, bytes)).value_or(Symbol::kNone));
      at += bytes;
    }
    merger.merge([&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
      const std::size_t length = left.length + right.length;
      if (length > table().longest()) return std::nullopt;
      const auto token = table().find(word.substr(left.begin, length));
      if (!token) return std::nullopt;
      return Merge{-static_cast<double>(table().score(*token)), *token};
    });
    merger.for_each([&](const Symbol& symbol) {
      if (symbol.token != Symbol::kNone) {
        tokens.push_back(symbol.token);
        return;
      }
      for (const char byte : word.substr(symbol.begin, symbol.length)) {
        const auto token = byte_tokens_[static_cast<unsigned char>(byte)];
        if (token) tokens.push_back(*token);
      }
    });
  }

  std::string spell_plain(TokenId token) const override {
    const std::string& text = table().text(token);
    if (table().type(token) == TokenType::byte) {
      unsigned byte = 0;
      const auto digits = std::string_view(text).substr(std::min<std::size_t>(text.size(), 3), 2);
      std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
      return {static_cast<char>(byte)};
    }
    std::string spelled;
    for (std::string_view rest = text; !rest.empty();) {
      const bool is_space = rest.starts_with(kSpace);
      spelled += is_space ? ' ' : rest.front();
      rest.remove_prefix(is_space ? kSpace.size() : 1);
    }
    return spelled;
  }

  bool prefixes_space() const override { return prefixes_space_; }

  std::array<std::optional<TokenId>, 256> byte_tokens_;
  bool words_are_separate_ = true;
  bool prefixes_space_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const gguf::Metadata& metadata,
                                                        const std::string& file) {
  return std::make_unique<SentencepieceTokenizer>(metadata, file);
}

}  // namespace tessera::model
