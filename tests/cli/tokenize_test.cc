// tessera tokenize prints what llama-tokenize prints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera::testing {
namespace {

using ::testing::HasSubstr;

const std::string kModel = TESSERA_TESTDATA "/convert/mistral.gguf";

ProgramResult tokenize(const std::vector<std::string>& options, const std::string& model = kModel) {
  std::vector<std::string> arguments = {"tokenize", model};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return run_program(arguments);
}

TEST(Tokenize, TokensAreListedWithTheirText) {
  const auto result = tokenize({"-p", "the\\n</s>é"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            "     1 -> '<s>'\n   296 -> 't'\n   262 -> 'he'\n    14 -> '\n'\n     2 -> '</s>'\n"
            "   199 -> '\xC3'\n   173 -> '\xA9'\n");
}

TEST(Tokenize, IdsAreAPythonList) {
  EXPECT_EQ(tokenize({"-p", "the", "--ids"}).out, "[1, 296, 262]\n");
  EXPECT_EQ(tokenize({"-p", "", "--ids", "--no-bos"}).out, "[]\n");
}

TEST(Tokenize, TheCountComesLast) {
  EXPECT_THAT(tokenize({"-p", "", "--ids", "--show-count", "--log-disable"}).out,
              HasSubstr("[1]\nTotal number of tokens: 1\n"));
}

TEST(Tokenize, OptionsTurnBosSpecialTokensAndEscapesOff) {
  const auto count = [](const std::vector<std::string>& options) { return tokenize(options).out; };
  EXPECT_EQ(count({"-p", "</s>", "--ids"}), "[1, 2]\n");
  EXPECT_EQ(count({"-p", "</s>", "--ids", "--no-bos"}), "[2]\n");
  EXPECT_EQ(count({"-p", "\\x3C/s\\x3e", "--ids"}), "[1, 2]\n");
  EXPECT_NE(count({"-p", "\\x3C/s\\x3e", "--ids", "--no-escape"}), "[1, 2]\n");
  EXPECT_NE(count({"-p", "</s>", "--ids", "--no-parse-special"}), "[1, 2]\n");
}

TEST(Tokenize, FilesAreReadWhole) {
  const ScratchFolder folder;
  write_whole(folder / "text", "the\n");
  EXPECT_EQ(tokenize({"-f", folder / "text", "--ids"}).out, tokenize({"-p", "the\n", "--ids"}).out);
}

TEST(Tokenize, VocabularyOnlyFilesAndFoldersWork) {
  const std::string folder = TESSERA_TESTDATA "/convert/mistral";
  EXPECT_EQ(tokenize({"-p", "the cat", "--ids"}, folder).out, tokenize({"-p", "the cat", "--ids"}).out);
  EXPECT_EQ(tokenize({"-p", "", "--ids"}, TESSERA_TESTDATA "/tokenize/crossing.gguf").out, "[]\n");
}

TEST(Tokenize, WrongUsageAndBadFilesAreTold) {
  EXPECT_EQ(tokenize({}).exit_code, 2);
  EXPECT_EQ(tokenize({"-p", "a", "--stdin"}).exit_code, 2);
  EXPECT_EQ(tokenize({"-p", "a", "-f", "b"}).exit_code, 2);
  EXPECT_EQ(tokenize({"-f", "/nonesuch"}).exit_code, 3);
  const auto without = tokenize({"-p", "a"}, TESSERA_TESTDATA "/formats/every_value_type.gguf");
  EXPECT_EQ(without.exit_code, 3) << without.out;
}

}  // namespace
}  // namespace tessera::testing
