#include "model/text/word_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "model/text/code_points.h"
#include "model/text/pre_tokenizer_kinds.h"
#include "model/text/unicode_categories.h"

namespace tessera::model {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> words(std::string_view kind, std::string_view text) {
  const auto code_points = code_points_of(text);
  std::vector<std::string> result;
  std::size_t at = 0;
  for (const std::size_t length :
       WordSplitter(find_pre_tokenizer_kind(kind)->expressions()).split(code_points)) {
    std::string& word = result.emplace_back();
    for (const std::size_t end = at + length; at < end; ++at) append_utf8(code_points[at], word);
  }
  return result;
}

TEST(WordSplitter, NumbersAreCutAsTheKindCutsThem) {
  EXPECT_THAT(words("gpt-2", "12345 67"), ElementsAre("12345", " 67"));
  EXPECT_THAT(words("llama-bpe", "12345 67"), ElementsAre("123", "45", " ", "67"));
  EXPECT_THAT(words("qwen2", "123"), ElementsAre("1", "2", "3"));
  EXPECT_THAT(words("default", "12345"), ElementsAre("123", "45"));
}

TEST(WordSplitter, ContractionsKnowCasesOfAsciiOnly) {
  EXPECT_THAT(words("llama-bpe", "it'S"), ElementsAre("it", "'S"));
  EXPECT_THAT(words("llama-bpe", "it'ſ"), ElementsAre("it", "'ſ"));
  EXPECT_THAT(words("gpt-2", "it'Sx"), ElementsAre("it", "'", "Sx"));
}

TEST(WordSplitter, SpaceBeyondAsciiIsSpace) {
  EXPECT_THAT(words("gpt-2", "a\u3000\u00A0b"), ElementsAre("a", "\u3000", "\u00A0", "b"));
  EXPECT_THAT(words("deepseek-llm", "a\u3000b"), ElementsAre("a", "\u3000b"));
}

TEST(WordSplitter, LettersBeyondAsciiHaveNoCase) {
  EXPECT_THAT(words("tekken", "ПриветМир"), ElementsAre("ПриветМир"));
  EXPECT_THAT(words("tekken", "helloWorld"), ElementsAre("hello", "World"));
}

TEST(WordSplitter, EndsOfPartsLookLikeEndsOfTheText) {
  // The line break is a part of its own, so the spaces before it are at an end.
  EXPECT_THAT(words("deepseek-llm", "a  \nb"), ElementsAre("a", "  ", "\n", "b"));
  EXPECT_THAT(words("deepseek-llm", "a  b"), ElementsAre("a", " ", " b"));
}

TEST(WordSplitter, NothingIsLostWhateverTheCodePoints) {
  std::mt19937 random(7);
  std::vector<char32_t> text(2000);
  for (char32_t& code_point : text)
    code_point = static_cast<char32_t>(random() % (random() % 2 == 0 ? 0x80 : 0x110000));
  for (const std::string_view kind : pre_tokenizer_kind_names()) {
    const auto lengths = WordSplitter(find_pre_tokenizer_kind(kind)->expressions()).split(text);
    EXPECT_EQ(std::accumulate(lengths.begin(), lengths.end(), std::size_t{0}), text.size()) << kind;
    EXPECT_EQ(std::ranges::count(lengths, std::size_t{0}), 0) << kind;
  }
}

TEST(UnicodeCategories, CoverAllCodePointsInOrder) {
  const auto ranges = unicode_ranges();
  EXPECT_EQ(ranges.front().first, 0u);
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    EXPECT_GT(ranges[i].first, ranges[i - 1].first);
    EXPECT_NE(ranges[i].category, ranges[i - 1].category);
  }
  EXPECT_LE(ranges.back().first, 0x10FFFFu);
}

TEST(UnicodeCategories, AreThoseOfUnicode15) {
  using enum UnicodeCategory;
  const std::vector<std::pair<char32_t, UnicodeCategory>> samples = {
      {U'a', letter},  {U'0', number},    {U'½', number},    {U' ', space},  {0x85, space},
      {0xA0, space},   {0x200B, other},   {0x0301, mark},    {U'€', symbol}, {U'«', punctuation},
      {U'漢', letter}, {0x1FAE8, symbol}, {0x2EBF0, letter},  // came with 15.1
      {0x1C89, other},                                        // came with 16.0
      {0xD800, other}, {0xFFFD, symbol},  {0x10FFFF, other}};
  for (const auto& [code_point, category] : samples) {
    EXPECT_EQ(category_of(code_point), category) << std::hex << static_cast<std::uint32_t>(code_point);
  }
}

}  // namespace
}  // namespace tessera::model
