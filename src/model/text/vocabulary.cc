#include "model/text/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tessera::model {
namespace {

struct Frame {
  std::string_view start;
  std::string_view end;
};

// As llama.cpp's converter knows them.
constexpr std::array<std::string_view, 4> kSpecialTokens = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
constexpr std::array kSpecialFrames = {Frame{"<|", "|>"}, Frame{"<｜", "｜>"}, Frame{"<unused", ">"}};

}  // namespace

Vocabulary padded_vocabulary(std::uint32_t size) {
  Vocabulary vocabulary;
  vocabulary.tokens.reserve(size);
  for (std::uint32_t i = 0; i < size; ++i) vocabulary.tokens.push_back(fmt::format("[PAD{}]", i));
  vocabulary.types.assign(size, TokenType::unused);
  return vocabulary;
}

bool looks_special(std::string_view token) {
  return std::ranges::find(kSpecialTokens, token) != kSpecialTokens.end() ||
         std::ranges::any_of(kSpecialFrames, [&](const Frame& frame) {
           return token.starts_with(frame.start) && token.ends_with(frame.end);
         });
}

std::string user_defined_spelling(std::string_view token) {
  constexpr std::string_view kMarker = "▁";
  std::string spelled;
  while (!token.empty()) {
    const bool is_marker = token.starts_with(kMarker);
    spelled += is_marker ? ' ' : token.front();
    token.remove_prefix(is_marker ? kMarker.size() : 1);
  }
  return spelled;
}

}  // namespace tessera::model
