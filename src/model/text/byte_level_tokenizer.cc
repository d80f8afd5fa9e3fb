#include "model/text/byte_level_tokenizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <unordered_map>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "model/text/byte_alphabet.h"
#include "model/text/code_points.h"
#include "model/text/merge_symbols.h"
#include "model/text/pre_tokenizer_kinds.h"
#include "model/text/word_splitter.h"

namespace tessera::model {
namespace {

constexpr std::string_view kMergesKey = "tokenizer.ggml.merges";

/// Vocabularies without a name are of the default kind.
const PreTokenizerKind& kind_of(const gguf::Metadata& metadata, const std::string& file) {
  const std::string name = metadata.text("tokenizer.ggml.pre").value_or("default");
  const PreTokenizerKind* kind = find_pre_tokenizer_kind(name);
  if (kind != nullptr) return *kind;
  throw BadFileError({.file = file},
                     fmt::format("the pre-tokenizer (tokenizer.ggml.pre) '{}' is not known; known are {}",
                                 printable(name), fmt::join(pre_tokenizer_kind_names(), ", ")));
}

std::uint64_t pair_of(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

/// Code points of `text` and the bytes that words are made of: the text, with U+FFFD for what is no valid
/// UTF-8.
struct DecodedText {
  explicit DecodedText(std::string_view text) : code_points(code_points_of(text)) {
    bytes.reserve(text.size());
    for (const char32_t code_point : code_points) append_utf8(code_point, bytes);
  }
  std::vector<char32_t> code_points;
  std::string bytes;
};

class ByteLevelTokenizer final : public Tokenizer {
 public:
  ByteLevelTokenizer(const gguf::Metadata& metadata, const PreTokenizerKind& kind, const std::string& file)
      : Tokenizer(TokenTable(metadata, file), metadata, {.bos = kind.adds_bos}),
        splitter_(kind.expressions()),
        takes_whole_words_(kind.whole_words == WholeWordTokens::yes) {
    for (std::size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
      byte_tokens_[byte] =
          table().find(spelled_byte(static_cast<unsigned char>(byte))).value_or(Symbol::kNone);
    }
    for (std::size_t i = 0; i < size(); ++i) {
      const auto token = static_cast<TokenId>(i);
      if (auto bytes = bytes_of_spelled(table().text(token))) words_.emplace(std::move(*bytes), token);
    }
    read_merges(metadata, file);
  }

 private:
  using Tokens = std::vector<TokenId>;

  void read_merges(const gguf::Metadata& metadata, const std::string& file) {
    const auto* merges = metadata.texts(kMergesKey);
    if (merges == nullptr) throw BadFileError({.file = file}, fmt::format("{} is missing", kMergesKey));
    merges_.reserve(merges->size());
    for (std::size_t rank = 0; rank < merges->size(); ++rank) {
      const std::string& merge = (*merges)[rank];
      // The left part may begin with a space, never the right one.
      const std::size_t space = merge.find(' ', 1);
      const auto part = [&](std::size_t begin, std::size_t end) {
        return space == std::string::npos ? std::nullopt : table().find(merge.substr(begin, end));
      };
      const auto left = part(0, space);
      const auto right = part(space + 1, std::string::npos);
      const auto whole =
          left && right ? table().find(table().text(*left) + table().text(*right)) : std::nullopt;
      if (!whole) {
        throw BadFileError({.file = file},
                           fmt::format("{} has '{}' as number {}, which is no pair of tokens that "
                                       "make a token together",
                                       kMergesKey, printable(merge), rank));
      }
      merges_.emplace(pair_of(*left, *right), Merge{static_cast<double>(rank), *whole});
    }
  }

  void encode_plain(std::string_view text, bool, Tokens& tokens) const override {
    const DecodedText decoded(text);
    SymbolMerger merger;
    std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>>
        known;  // word to its range of tokens
    std::size_t character = 0;
    std::string_view rest = decoded.bytes;
    for (const std::size_t length : splitter_.split(decoded.code_points)) {
      std::size_t bytes = 0;
      for (std::size_t i = 0; i < length; ++i) bytes += utf8_bytes(decoded.code_points[character++]);
      const std::string_view word = rest.substr(0, bytes);
      rest.remove_prefix(bytes);
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

  void encode_word(std::string_view word, SymbolMerger& merger, Tokens& tokens) const {
    if (takes_whole_words_) {
      const auto whole = words_.find(std::string(word));
      if (whole != words_.end()) {
        tokens.push_back(whole->second);
        return;
      }
    }
    merger.clear();
    for (const char byte : word) merger.add(1, byte_tokens_[static_cast<unsigned char>(byte)]);
    merger.merge([&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
      if (left.token == Symbol::kNone || right.token == Symbol::kNone) return std::nullopt;
      const auto merge = merges_.find(pair_of(left.token, right.token));
      return merge == merges_.end() ? std::nullopt : std::optional(merge->second);
    });
    merger.for_each([&](const Symbol& symbol) {
      if (symbol.token != Symbol::kNone) tokens.push_back(symbol.token);
    });
  }

  std::string spell_plain(TokenId token) const override {
    return bytes_of_spelled(table().text(token)).value_or(table().text(token));
  }

  bool prefixes_space() const override { return false; }

  WordSplitter splitter_;
  bool takes_whole_words_;
  std::array<TokenId, 256> byte_tokens_;
  std::unordered_map<std::string, TokenId> words_;  ///< by bytes: what is a token whole
  std::unordered_map<std::uint64_t, Merge> merges_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_level_tokenizer(const gguf::Metadata& metadata,
                                                     const std::string& file) {
  return std::make_unique<ByteLevelTokenizer>(metadata, kind_of(metadata, file), file);
}

}  // namespace tessera::model
