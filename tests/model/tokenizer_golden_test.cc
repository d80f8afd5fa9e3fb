// Token-for-token equality with llama-tokenize, on cases recorded by tools/make_tokenize_testdata.py and on
// those that llama.cpp's own test suite uses. tools/compare_tokenize.sh does the same with llama-tokenize at
// hand.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "foundation/formats/gguf/gguf_file.h"
#include "model/source/open_model.h"
#include "model/text/tokenizer.h"
#include "pipeline/small_model.h"

namespace tessera::model {
namespace {

namespace fs = std::filesystem;
using tessera::testing::read_whole;

const fs::path kTestdata = TESSERA_TESTDATA;

TEST(TokenizerGolden, NastyTextGivesTheTokensOfLlamaTokenize) {
  const std::string text = read_whole(kTestdata / "tokenize/nasty.txt");
  ASSERT_GT(text.size(), 3000u);
  std::istringstream golden(read_whole(kTestdata / "tokenize/nasty.ids"));
  std::string vocabulary, pre, flag, ids;
  int cases = 0;
  for (; golden >> vocabulary >> pre >> flag >> ids; ++cases) {
    gguf::Metadata metadata = gguf::open_gguf(kTestdata / vocabulary)->metadata();
    if (pre != "-") metadata.set("tokenizer.ggml.pre", pre);
    const auto tokenizer = make_tokenizer(metadata, vocabulary);
    const auto expected = nlohmann::json::parse(ids).get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer->encode(
                  text, {.add_special = flag != "--no-bos", .parse_special = flag != "--no-parse-special"}),
              expected)
        << vocabulary << " " << pre << " " << flag;
  }
  EXPECT_EQ(cases, 20);
}

TEST(TokenizerGolden, FolderAndFileOfAModelHaveTheSameTokens) {
  const std::string text = read_whole(kTestdata / "tokenize/nasty.txt");
  for (const char* name : {"llama-3-tied", "llama-bias", "llama-gpt2", "mistral", "qwen2", "qwen3"}) {
    const fs::path folder = kTestdata / "convert" / name;
    const auto from_folder = make_tokenizer(open_model(folder).metadata, folder.string());
    const auto from_file = make_tokenizer(open_model(folder.string() + ".gguf").metadata, folder.string());
    EXPECT_EQ(from_folder->encode(text), from_file->encode(text)) << name;
  }
}

/// Parts of `text` between lines that hold `separator` alone.
std::vector<std::string> cases_of(const std::string& text, const std::string& separator) {
  std::vector<std::string> cases;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find(separator, begin)) != std::string::npos;
       begin = end + separator.size()) {
    cases.push_back(text.substr(begin, end - begin));
  }
  return cases;
}

TEST(TokenizerGolden, SharedVocabulariesGiveTheirRecordedTokens) {
  const fs::path shared = fs::path(TESSERA_SHARED) / "vocabs";
  if (!fs::is_directory(shared)) GTEST_SKIP() << "there is no " << shared;
  for (const char* name : {"llama-spm", "gpt-2", "deepseek-llm"}) {
    const fs::path file = shared / (std::string(name) + ".gguf");
    const auto tokenizer = make_tokenizer(open_model(file).metadata, file.string());
    const auto inputs = cases_of(read_whole(file.string() + ".inp"), "\n__ggml_vocab_test__\n");
    std::istringstream outputs(read_whole(file.string() + ".out"));
    ASSERT_GT(inputs.size(), 30u);
    for (const std::string& input : inputs) {
      std::string line;
      ASSERT_TRUE(std::getline(outputs, line));
      std::istringstream numbers(line);
      const std::vector<TokenId> expected{std::istream_iterator<TokenId>(numbers), {}};
      EXPECT_EQ(tokenizer->encode(input, {.add_special = false, .parse_special = false}), expected)
          << name << ": '" << input << "'";
      EXPECT_EQ(tokenizer->decode(expected), input) << name;
    }
  }
}

}  // namespace
}  // namespace tessera::model
