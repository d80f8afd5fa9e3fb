#include "model/text/corpus.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/message_recorder.h"
#include "foundation/base/error.h"
#include "model/text/corpus_text.h"
#include "model/text/window_sampling.h"
#include "model/vocabulary_metadata.h"
#include "pipeline/small_model.h"

namespace tessera::model {
namespace {

using tessera::testing::byte_level_vocabulary;
using tessera::testing::ScratchFolder;
using tessera::testing::write_whole;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr TokenId kBos = 256;

/// One token per byte, BOS in front where asked for.
std::unique_ptr<Tokenizer> byte_tokenizer(bool adds_bos) {
  gguf::Metadata metadata = byte_level_vocabulary().metadata();
  metadata.set("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(kBos));
  metadata.set("tokenizer.ggml.add_bos_token", adds_bos);
  return make_tokenizer(metadata, "bytes");
}

class Corpus : public ::testing::Test {
 protected:
  CorpusFile file(const std::string& name, const std::string& text, double weight = 1) {
    write_whole(folder_ / name, text);
    return {folder_ / name, weight};
  }

  TokenWindows read(const CorpusSettings& settings, bool adds_bos = false) {
    return read_windows(settings, *byte_tokenizer(adds_bos), warnings_);
  }

  std::string error_of(const CorpusSettings& settings) {
    try {
      read(settings);
    } catch (const BadFileError& error) {
      return error.what();
    }
    return "accepted";
  }

  /// First tokens of the windows, as characters.
  static std::string first_tokens(const TokenWindows& windows) {
    std::string first;
    for (std::size_t i = 0; i < windows.windows(); ++i) first += static_cast<char>(windows.window(i)[0]);
    return first;
  }

  ScratchFolder folder_;
  tessera::testing::MessageRecorder warnings_;
};

TEST_F(Corpus, WindowsAreConsecutiveAndTheRestIsDropped) {
  const auto windows = read({.files = {file("a.txt", "abcdefgh")}, .context = 3, .samples = 2});
  EXPECT_EQ(windows.windows(), 2u);
  EXPECT_THAT(windows.tokens, ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
  EXPECT_THAT(windows.window(1), ElementsAre('d', 'e', 'f'));
  EXPECT_EQ(windows.available, 2u);
  EXPECT_THAT(windows.datasets, ElementsAre((folder_ / "a.txt").string()));
  EXPECT_THAT(warnings_.warnings, IsEmpty());
}

TEST_F(Corpus, BosTakesTheFirstPlaceOfEveryWindow) {
  const auto windows = read({.files = {file("a.txt", "abcdefgh")}, .context = 3, .samples = 3}, true);
  EXPECT_THAT(windows.tokens, ElementsAre(kBos, 'a', 'b', kBos, 'd', 'e', kBos, 'g', 'h'));
}

TEST_F(Corpus, OneLineBreakAtTheEndOfPlainTextIsNotPartOfIt) {
  EXPECT_EQ(read({.files = {file("a.txt", "abcde\n")}, .context = 3, .samples = 1}).available, 1u);
  EXPECT_EQ(read({.files = {file("b.txt", "abcde\n\n")}, .context = 3, .samples = 1}).available, 2u);
}

TEST_F(Corpus, FewerWindowsThanAskedForAreUsedAndSaid) {
  const auto windows = read({.files = {file("a.txt", "abcdefgh")}, .context = 4, .samples = 128});
  EXPECT_EQ(windows.windows(), 2u);
  EXPECT_THAT(warnings_.warnings,
              ElementsAre(HasSubstr("128 windows of 4 tokens were asked for, but the data hold 2")));
  warnings_.warnings.clear();
  EXPECT_EQ(read({.files = {file("a.txt", "abcdefgh")}, .context = 4, .samples = 0}).windows(), 2u);
  EXPECT_THAT(warnings_.warnings, IsEmpty());
}

TEST_F(Corpus, TooLittleTextSaysHowMuchThereIsAndIsNeeded) {
  const std::string message = error_of({.files = {file("a.txt", "abcde")}, .context = 512});
  EXPECT_THAT(message, HasSubstr("a.txt"));
  EXPECT_THAT(message, HasSubstr("5 tokens"));
  EXPECT_THAT(message, HasSubstr("512"));
  EXPECT_THAT(error_of({.files = {file("empty.txt", "")}}), HasSubstr("there is no text in this file"));
  EXPECT_THAT(error_of({.files = {file("newline.txt", "\n")}}), HasSubstr("there is no text in this file"));
  EXPECT_THAT(error_of({.files = {{folder_ / "absent.txt"}}}), HasSubstr("absent.txt"));
}

TEST_F(Corpus, WrongSettingsAreTheUsersMistake) {
  const auto good = file("a.txt", "abcdef");
  EXPECT_THROW(read({.files = {}}), UsageError);
  EXPECT_THROW(read({.files = {good}, .context = 1}), UsageError);
  for (const double weight :
       {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(read({.files = {{good.path, weight}}, .context = 2}), UsageError) << weight;
  }
}

TEST_F(Corpus, RandomWindowsAreDifferentOnesInOrderAndDependOnTheSeedAlone) {
  std::string text;
  for (char c = '!'; c <= '~'; ++c) text += std::string(2, c);
  CorpusSettings settings{
      .files = {file("a.txt", text)}, .context = 2, .samples = 12, .sampling = WindowSampling::random};
  const std::string first = first_tokens(read(settings));
  EXPECT_EQ(first.size(), 12u);
  EXPECT_TRUE(std::ranges::is_sorted(first));
  EXPECT_EQ(std::ranges::adjacent_find(first), first.end());
  EXPECT_EQ(first_tokens(read(settings)), first);
  settings.seed = 1;
  EXPECT_NE(first_tokens(read(settings)), first);
}

TEST_F(Corpus, FilesShareTheWindowsByWeight) {
  const auto windows =
      read({.files = {file("a.txt", std::string(200, 'a'), 3), file("b.txt", std::string(200, 'b'), 1)},
            .context = 2,
            .samples = 8});
  EXPECT_EQ(first_tokens(windows), "aaaaaabb");
  EXPECT_EQ(windows.available, 200u);
  EXPECT_THAT(warnings_.warnings, IsEmpty());
}

TEST_F(Corpus, AFileThatLacksItsShareIsMadeUpForAndSaid) {
  const auto windows = read({.files = {file("a.txt", "aaaa", 3), file("b.txt", std::string(200, 'b'), 1)},
                             .context = 2,
                             .samples = 8});
  EXPECT_EQ(first_tokens(windows), "aabbbbbb");
  EXPECT_THAT(warnings_.warnings, ElementsAre(HasSubstr("a.txt holds 2 windows, 6 would be its share")));
}

std::string text_of_jsonl(const std::string& lines, const std::string& field = "") {
  return corpus_text_of_jsonl(std::as_bytes(std::span(lines)), "d.jsonl", field);
}

std::string text_of_json(const std::string& document, const std::string& field = "") {
  return corpus_text_of_json(std::as_bytes(std::span(document)), "d.json", field);
}

template <class Read>
std::string refusal(const Read& read) {
  try {
    return "accepted: " + read();
  } catch (const BadFileError& error) {
    return error.what();
  }
}

TEST(CorpusText, RecordsStandApart) {
  EXPECT_EQ(text_of_jsonl("{\"text\": \"one\"}\r\n\n  \n{\"text\": \"\"}\n{\"text\": \"two\\nlines\"}"),
            "one\n\ntwo\nlines");
  EXPECT_EQ(text_of_json(R"([{"text": "one"}, {"text": "two"}])"), "one\n\ntwo");
  EXPECT_EQ(text_of_json(R"({"text": "alone"})"), "alone");
  EXPECT_EQ(text_of_json("[]"), "");
}

TEST(CorpusText, MessagesAreLinesOfRoles) {
  const std::string record =
      R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]})";
  EXPECT_EQ(text_of_jsonl(record), "user: Hi\nassistant: Hello.");
}

TEST(CorpusText, AFieldMayBeNamed) {
  const std::string record = R"({"text": "no", "body": "yes", "chat": [{"role": "user", "content": "Hi"}]})";
  EXPECT_EQ(text_of_jsonl(record), "no");
  EXPECT_EQ(text_of_jsonl(record, "body"), "yes");
  EXPECT_EQ(text_of_jsonl(record, "chat"), "user: Hi");
}

TEST(CorpusText, BrokenRecordsAreNamedByTheirNumber) {
  const std::string good = "{\"text\": \"good\"}\n";
  for (const auto& item : std::vector<std::pair<std::string, std::string>>{
           {"{\"text\": \"cut", "not valid JSON"},
           {"{\"text\": 1}", "neither a string nor an array"},
           {"{\"body\": \"x\"}", "neither \"text\" nor \"messages\""},
           {"[1]", "a JSON object"},
           {"{\"text\": \"a\", \"text\": \"b\"}", "twice"},
           {"{\"text\": \"\xFF\"}", "not valid JSON"},
           {"{\"messages\": [{\"role\": \"user\"}]}", "no role or no content"},
           {"{\"messages\": [{\"role\": \"user\", \"content\": null}]}", "no role or no content"},
           {"{\"messages\": [\"Hi\"]}", "no role or no content"}}) {
    const std::string& bad = item.first;  // clang 14 does not capture a structured binding
    const std::string& message = item.second;
    const std::string of_lines = refusal([&] { return text_of_jsonl(good + "\n" + bad + "\n" + good); });
    EXPECT_THAT(of_lines, HasSubstr("d.jsonl, line 3")) << bad;
    EXPECT_THAT(of_lines, HasSubstr(message)) << bad;
  }
  EXPECT_THAT(refusal([&] { return text_of_jsonl(good, "body"); }),
              HasSubstr("line 1: there is no field \"body\""));
  EXPECT_THAT(refusal([&] { return text_of_json(R"([{"text": "a"}, {"t": "b"}])"); }),
              HasSubstr("d.json, record 2"));
  EXPECT_THAT(refusal([&] { return text_of_json("3"); }), HasSubstr("d.json"));
}

TEST_F(Corpus, EndingsTellTheFormat) {
  const std::string record = R"({"text": "abcdef"})";
  for (const char* name : {"a.jsonl", "a.JSONL", "a.json"}) {
    EXPECT_THAT(read({.files = {file(name, record)}, .context = 6, .samples = 1}).tokens,
                ElementsAre('a', 'b', 'c', 'd', 'e', 'f'))
        << name;
  }
  EXPECT_EQ(read({.files = {file("a.txt", record)}, .context = 6, .samples = 1}).tokens[0], '{');
}

TEST(WindowSampling, SharesAreProportionalByLargestRemainder) {
  const std::vector<std::uint64_t> plenty(3, 1000);
  EXPECT_THAT(windows_per_file(std::vector{1.0, 1.0, 1.0}, plenty, 10), ElementsAre(4, 3, 3));
  EXPECT_THAT(windows_per_file(std::vector{5.0, 3.0, 2.0}, plenty, 7), ElementsAre(4, 2, 1));
  EXPECT_THAT(windows_per_file(std::vector{1e300, 1e-300, 1.0}, plenty, 5), ElementsAre(5, 0, 0));
}

TEST(WindowSampling, WhatAFileLacksIsSharedByTheOthers) {
  const std::vector<std::uint64_t> available = {2, 100, 3};
  EXPECT_THAT(windows_per_file(std::vector{1.0, 1.0, 1.0}, available, 30), ElementsAre(2, 25, 3));
  EXPECT_THAT(windows_per_file(std::vector{1.0, 1.0, 1.0}, available, 1000), ElementsAre(2, 100, 3));
  EXPECT_THAT(windows_per_file(std::vector{1.0, 1.0, 1.0}, available, 0), ElementsAre(0, 0, 0));
}

TEST(WindowSampling, DrawsAreTheSameEverywhere) {
  EXPECT_THAT(draw_ascending(1000, 5, 42), ElementsAre(250, 474, 550, 841, 891));
  EXPECT_THAT(draw_ascending(4, 4, 9), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(draw_ascending(7, 0, 9), IsEmpty());
}

TEST(WindowSampling, EveryWindowIsDrawnEquallyOften) {
  constexpr int kRounds = 6000;
  std::vector<int> drawn(10);
  for (int seed = 0; seed < kRounds; ++seed) {
    for (const std::uint64_t window : draw_ascending(drawn.size(), 3, static_cast<std::uint64_t>(seed)))
      ++drawn[window];
  }
  // The mean is 1800, its standard deviation 35.
  for (const int count : drawn) EXPECT_NEAR(count, kRounds * 3 / 10, 5 * 36);
}

}  // namespace
}  // namespace tessera::model
