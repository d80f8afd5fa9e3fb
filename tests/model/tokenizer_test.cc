#include "model/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "model/text/pre_tokenizer.h"
#include "model/text/pre_tokenizer_kinds.h"
#include "model/vocabulary_metadata.h"
#include "pipeline/small_model.h"

namespace tessera::model {
namespace {

using tessera::testing::byte_level_vocabulary;
using tessera::testing::read_whole;
using tessera::testing::sentencepiece_vocabulary;
using tessera::testing::TestVocabulary;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<Tokenizer> make(const TestVocabulary& vocabulary) {
  return make_tokenizer(vocabulary.metadata(), "test");
}

std::vector<std::string> pieces(const Tokenizer& tokenizer, const std::string& text,
                                const TokenizeSettings& settings = {}) {
  std::vector<std::string> result;
  for (const TokenId token : tokenizer.encode(text, settings))
    result.push_back(tokenizer.table().text(token));
  return result;
}

std::string error_of(const gguf::Metadata& metadata) {
  try {
    make_tokenizer(metadata, "bad.gguf");
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("bad.gguf"));
    return error.what();
  }
  return "accepted";
}

TEST(SentencepieceTokenizer, MergesTheBestScoreFirstAndTheLeftmostAmongEquals) {
  TestVocabulary vocabulary = sentencepiece_vocabulary();
  vocabulary.add("ab", 1, -2);
  vocabulary.add("bc", 1, -1);
  vocabulary.add("aa", 1, -3);
  const auto tokenizer = make(vocabulary);
  EXPECT_THAT(pieces(*tokenizer, "abc"), ElementsAre("<s>", "▁", "a", "bc"));
  EXPECT_THAT(pieces(*tokenizer, "aaa"), ElementsAre("<s>", "▁", "aa", "a"));
}

TEST(SentencepieceTokenizer, SpaceIsPrefixedAtTheBeginningAndBehindSpecialTokens) {
  const auto tokenizer = make(sentencepiece_vocabulary());
  EXPECT_THAT(pieces(*tokenizer, "a</s>b"), ElementsAre("<s>", "▁", "a", "</s>", "▁", "b"));
  EXPECT_THAT(pieces(*tokenizer, ""), ElementsAre("<s>"));
  gguf::Metadata metadata = sentencepiece_vocabulary().metadata();
  metadata.set("tokenizer.ggml.add_space_prefix", false);
  EXPECT_THAT(pieces(*make_tokenizer(metadata, "test"), "a</s>b"), ElementsAre("<s>", "a", "</s>", "b"));
}

TEST(SentencepieceTokenizer, TokensWithASpaceInsideAreFound) {
  TestVocabulary vocabulary = sentencepiece_vocabulary();
  vocabulary.add("a▁", 1, -1);
  vocabulary.add("a▁b", 1, -1);
  EXPECT_THAT(pieces(*make(vocabulary), "a b"), ElementsAre("<s>", "▁", "a▁b"));
}

TEST(SentencepieceTokenizer, WithoutByteTokensACharacterIsUnknown) {
  TestVocabulary vocabulary{.model = "llama"};
  vocabulary.add("<unk>", 2);
  vocabulary.add("<s>", 3);
  vocabulary.add("</s>", 3);
  EXPECT_THAT(pieces(*make(vocabulary), "x"), ElementsAre("<s>", "<unk>", "<unk>", "<unk>", "<unk>"));
}

TEST(ByteLevelTokenizer, MergesInTheOrderOfRanksInsideWordsOnly) {
  TestVocabulary vocabulary = byte_level_vocabulary();
  vocabulary.pre = "gpt-2";
  for (const char* token : {"bc", "ab", "Ġa", "cĠ"}) vocabulary.add(token);
  vocabulary.merges = {"b c", "a b", "Ġ a", "c Ġ"};
  EXPECT_THAT(pieces(*make(vocabulary), "abc ab"), ElementsAre("a", "bc", "Ġ", "ab"));
}

TEST(ByteLevelTokenizer, SomeKindsTakeAWordThatIsATokenWhole) {
  TestVocabulary vocabulary = byte_level_vocabulary();
  vocabulary.add("abc");
  for (const auto& [pre, expected] : {std::pair("llama-bpe", 1u), std::pair("qwen2", 3u)}) {
    vocabulary.pre = pre;
    EXPECT_EQ(make(vocabulary)->encode("abc", {.add_special = false}).size(), expected) << pre;
  }
}

TEST(ByteLevelTokenizer, BytesThatAreNoUtf8AreReplaced) {
  const auto tokenizer = make(byte_level_vocabulary());
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\xFFz")), "a\uFFFDz");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("\xC0\x80")), "\uFFFD\uFFFD");
}

TEST(ByteLevelTokenizer, EveryNameThatConversionTellsCanBeRun) {
  for (const std::string_view name : told_pre_tokenizer_names()) {
    EXPECT_NE(find_pre_tokenizer_kind(name), nullptr) << name;
  }
  for (const std::string_view name : {"deepseek-v3", "deepseek-r1-qwen", "default"}) {
    EXPECT_NE(find_pre_tokenizer_kind(name), nullptr) << name;
  }
}

TEST(ByteLevelTokenizer, AnUnknownPreTokenizerIsRefusedByNameWithTheKnownOnes) {
  TestVocabulary vocabulary = byte_level_vocabulary();
  vocabulary.pre = "llama-7";
  const std::string message = error_of(vocabulary.metadata());
  EXPECT_THAT(message, HasSubstr("'llama-7'"));
  for (const std::string_view name : pre_tokenizer_kind_names())
    EXPECT_THAT(message, HasSubstr(std::string(name)));
}

TEST(Tokenizer, LongerSpecialTokensAreCutOutFirst) {
  TestVocabulary vocabulary = byte_level_vocabulary();
  vocabulary.add("<ab>", 3);
  vocabulary.add("b>cdef", 3);
  vocabulary.add("<ab>c", 4);
  EXPECT_THAT(pieces(*make(vocabulary), "<ab>cdef<ab>c<ab>"),
              ElementsAre("<", "a", "b>cdef", "<ab>c", "<ab>"));
}

TEST(Tokenizer, ControlTokensOfTheTextCanBeLeftAsTextUserDefinedOnesNot) {
  TestVocabulary vocabulary = byte_level_vocabulary();
  vocabulary.add("<u>", 4);
  EXPECT_THAT(pieces(*make(vocabulary), "<s><u>", {.add_special = true, .parse_special = false}),
              ElementsAre("<", "s", ">", "<u>"));
}

TEST(Tokenizer, TextsThatEndATurnAreControlWhateverTheirType) {
  TestVocabulary vocabulary = byte_level_vocabulary();
  vocabulary.add("<|im_end|>", 1);
  vocabulary.add("<|im_start|>", 1);
  const auto tokenizer = make(vocabulary);
  EXPECT_EQ(tokenizer->encode("<|im_end|>").size(), 1u);
  EXPECT_GT(tokenizer->encode("<|im_start|>").size(), 1u);
}

TEST(Tokenizer, SpecialTokensOfPhi3TakeTheSpaceBehindThem) {
  gguf::Metadata metadata = sentencepiece_vocabulary().metadata();
  EXPECT_THAT(pieces(*make_tokenizer(metadata, "test"), "</s> \n a"),
              ElementsAre("<s>", "</s>", "▁", "▁", "<0x0A>", "▁", "a"));
  metadata.set("general.name", std::string("Phi-3 mini"));
  EXPECT_THAT(pieces(*make_tokenizer(metadata, "test"), "</s> \n a"), ElementsAre("<s>", "</s>", "▁", "a"));
}

TEST(Tokenizer, BosAndEosAreAddedAsTheMetadataSay) {
  gguf::Metadata metadata = byte_level_vocabulary().metadata();
  metadata.set("tokenizer.ggml.bos_token_id", std::uint32_t{256});
  metadata.set("tokenizer.ggml.eos_token_id", std::uint32_t{256});
  EXPECT_THAT(make_tokenizer(metadata, "test")->encode("!"), ElementsAre('!'));
  metadata.set("tokenizer.ggml.add_bos_token", true);
  EXPECT_THAT(make_tokenizer(metadata, "test")->encode("!"), ElementsAre(256, '!'));
  metadata.set("tokenizer.ggml.add_eos_token", true);
  EXPECT_THAT(make_tokenizer(metadata, "test")->encode("!"), ElementsAre(256, '!', 256));
  EXPECT_THAT(make_tokenizer(metadata, "test")->encode("!", {.add_special = false}), ElementsAre('!'));
}

TEST(Tokenizer, DecodingGivesValidTextBack) {
  const std::string nasty = read_whole(std::string(TESSERA_TESTDATA) + "/tokenize/nasty.txt");
  const std::string valid = nasty.substr(0, nasty.find("\n\x80 "));
  ASSERT_GT(valid.size(), 2500u);
  std::string without_marker = valid;  // SentencePiece takes "▁" for a space
  for (std::size_t at; (at = without_marker.find("▁")) != std::string::npos;) without_marker.erase(at, 3);
  const DecodeSettings spelled = {.spell_control = true};
  const auto by_pieces = make(sentencepiece_vocabulary());
  const auto by_bytes = make(byte_level_vocabulary());
  for (const bool parse_special : {false, true}) {
    const TokenizeSettings settings = {.add_special = false, .parse_special = parse_special};
    EXPECT_EQ(by_pieces->decode(by_pieces->encode(without_marker, settings), spelled), without_marker);
    EXPECT_EQ(by_bytes->decode(by_bytes->encode(valid, settings), spelled), valid);
  }
}

TEST(SentencepieceTokenizer, BytesThatAreNoUtf8AreKept) {
  const auto tokenizer = make(sentencepiece_vocabulary());
  const std::string bytes = "\x80\xC3(\xFF\xE2\x96";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes)), bytes);
}

TEST(Tokenizer, DecodingLeavesControlTokensOutUnlessTheyAreToBeSpelled) {
  const auto tokenizer = make(sentencepiece_vocabulary());
  const auto tokens = tokenizer->encode("a</s>b");
  EXPECT_EQ(tokenizer->decode(tokens), "ab");
  EXPECT_EQ(tokenizer->decode(tokens, {.spell_control = true}), "<s>a</s>b");
}

/// The definition of the merging, without a heap: look at every pair, merge the best, again.
template <class Rule>
std::vector<std::string> merged_slowly(std::vector<std::string> word, const Rule& order_of) {
  while (true) {
    std::size_t best = word.size();
    double best_order = 0;
    for (std::size_t i = 0; i + 1 < word.size(); ++i) {
      const auto order = order_of(word[i], word[i + 1]);
      if (order && (best == word.size() || *order < best_order)) {
        best = i;
        best_order = *order;
      }
    }
    if (best == word.size()) return word;
    word[best] += word[best + 1];
    word.erase(word.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

std::vector<std::string> letters(const std::string& text) {
  std::vector<std::string> word;
  for (const char letter : text) word.emplace_back(1, letter);
  return word;
}

/// Random tokens of two to four of the letters a to d, each made of two tokens before it.
std::vector<std::pair<std::string, std::string>> random_merges(std::mt19937& random) {
  std::vector<std::string> known = {"a", "b", "c", "d"};
  std::vector<std::pair<std::string, std::string>> merges;
  while (merges.size() < 20) {
    const std::string left = known[random() % known.size()];
    const std::string right = known[random() % known.size()];
    if (left.size() + right.size() > 4 || std::ranges::count(known, left + right) > 0) continue;
    known.push_back(left + right);
    merges.emplace_back(left, right);
  }
  return merges;
}

std::string random_word(std::mt19937& random) {
  std::string word(1 + random() % 40, 'a');
  for (char& letter : word) letter = static_cast<char>('a' + random() % 4);
  return word;
}

TEST(Tokenizer, TheHeapMergesAsTheDefinitionDoes) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    const auto merges = random_merges(random);
    TestVocabulary scored = sentencepiece_vocabulary();
    TestVocabulary ranked = byte_level_vocabulary();
    std::map<std::string, double> scores;
    for (const auto& [left, right] : merges) {
      scores[left + right] = static_cast<double>(random() % 5);  // with ties
      scored.add(left + right, 1, static_cast<float>(-scores[left + right]));
      ranked.add(left + right);
      ranked.merges.push_back(left + " " + right);
    }
    const auto by_score = [&](const std::string& left, const std::string& right) -> std::optional<double> {
      const auto found = scores.find(left + right);
      return found == scores.end() ? std::nullopt : std::optional(found->second);
    };
    const auto by_rank = [&](const std::string& left, const std::string& right) -> std::optional<double> {
      const auto found = std::ranges::find(merges, std::pair(left, right));
      return found == merges.end() ? std::nullopt
                                   : std::optional(static_cast<double>(found - merges.begin()));
    };
    gguf::Metadata metadata = scored.metadata();
    metadata.set("tokenizer.ggml.add_space_prefix", false);
    const std::string word = random_word(random);
    EXPECT_EQ(pieces(*make_tokenizer(metadata, "test"), word, {.add_special = false}),
              merged_slowly(letters(word), by_score));
    EXPECT_EQ(pieces(*make(ranked), word), merged_slowly(letters(word), by_rank));
  }
}

TEST(Tokenizer, AWordOfAMillionLettersIsNoTrouble) {
  TestVocabulary scored = sentencepiece_vocabulary();
  TestVocabulary ranked = byte_level_vocabulary();
  for (const auto& [left, right] : {std::pair("a", "b"), std::pair("ab", "ab"), std::pair("abab", "abab")}) {
    const std::string whole = std::string(left) + right;
    scored.add(whole, 1, -static_cast<float>(whole.size()));
    ranked.add(whole);
    ranked.merges.push_back(std::string(left) + " " + right);
  }
  std::string word;
  for (int i = 0; i < 500000; ++i) word += "ab";
  EXPECT_EQ(make(scored)->encode(word).size(), 125000u + 2);
  EXPECT_EQ(make(ranked)->encode(word).size(), 125000u);
  const std::string spaces(200000, ' ');
  std::set<const PreTokenizerKind*> tried;
  for (const std::string_view kind : pre_tokenizer_kind_names()) {
    if (!tried.insert(find_pre_tokenizer_kind(kind)).second) continue;
    ranked.pre = kind;
    EXPECT_EQ(make(ranked)->encode(spaces + "a" + spaces).size(), 2 * spaces.size() + 1) << kind;
  }
}

TEST(Tokenizer, MayBeUsedFromSeveralThreads) {
  const std::string text = read_whole(std::string(TESSERA_TESTDATA) + "/tokenize/nasty.txt");
  const auto metadata =
      gguf::open_gguf(std::string(TESSERA_TESTDATA) + "/tokenize/crossing.gguf")->metadata();
  const auto tokenizer = make_tokenizer(metadata, "crossing.gguf");
  const auto expected = tokenizer->encode(text);
  std::vector<std::vector<TokenId>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results) threads.emplace_back([&] { result = tokenizer->encode(text); });
  }
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST(HostileVocabulary, IsRefusedWithWhatIsWrong) {
  struct Case {
    const char* key;
    gguf::Value value;
    const char* message;
  };
  const std::vector<std::string> kStrings(257, "x");
  const std::vector<Case> cases = {
      {"tokenizer.ggml.model", std::string("bert"), "'bert'"},
      {"tokenizer.ggml.model", 1u, "there is no tokenizer"},
      {"tokenizer.ggml.tokens", gguf::Array(std::vector<std::string>()), "empty"},
      {"tokenizer.ggml.tokens", gguf::Array(std::vector<std::int32_t>{1}), "missing or empty"},
      {"tokenizer.ggml.tokens", gguf::Array(kStrings), "'x' twice, as 0 and 1"},
      {"tokenizer.ggml.token_type", gguf::Array(std::vector<std::int32_t>{1, 1}),
       "2 entries, but there are 257 tokens"},
      {"tokenizer.ggml.token_type", gguf::Array(std::vector<std::int32_t>(257, 7)), "unknown type 7"},
      {"tokenizer.ggml.token_type", gguf::Array(std::vector<std::int32_t>(257, -1)), "unknown type -1"},
      {"tokenizer.ggml.token_type", gguf::Array(kStrings), "type"},
      {"tokenizer.ggml.scores", gguf::Array(std::vector<float>(256)), "256 entries"},
      {"tokenizer.ggml.scores", gguf::Array(std::vector<float>(257, std::nanf(""))), "no number for token 0"},
      {"tokenizer.ggml.bos_token_id", 257u, "not the id of one of the 257 tokens"},
      {"tokenizer.ggml.eos_token_id", -1, "not the id"},
      {"tokenizer.ggml.unknown_token_id", std::string("0"), "not the id"},
      {"tokenizer.ggml.add_bos_token", 1u, "true or false"},
      {"tokenizer.ggml.add_eos_token", std::string("yes"), "true or false"},
      {"tokenizer.ggml.merges", gguf::Array(std::vector<std::string>{"a b"}), "'a b' as number 0"},
      {"tokenizer.ggml.merges", gguf::Array(std::vector<std::string>{"zz a"}), "'zz a'"},
      {"tokenizer.ggml.merges", gguf::Array(std::vector<std::string>{"ab"}), "'ab'"},
      {"tokenizer.ggml.merges", gguf::Array(std::vector<std::string>{""}), "''"},
      {"tokenizer.ggml.merges", gguf::Array(std::vector<std::int32_t>{1}), "missing"},
      {"tokenizer.ggml.pre", std::string("\x1b[0m"), "'\\x1B[0m'"},
  };
  for (const Case& bad : cases) {
    gguf::Metadata metadata = byte_level_vocabulary().metadata();
    metadata.set(bad.key, bad.value);
    EXPECT_THAT(error_of(metadata), HasSubstr(bad.message)) << bad.key;
  }
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"}) {
    gguf::Metadata metadata = byte_level_vocabulary().metadata();
    metadata.erase(key);
    EXPECT_THAT(error_of(metadata), HasSubstr(key));
  }
}

}  // namespace
}  // namespace tessera::model
