// Tokenizer files made of GGUF metadata, judged by reading them: the same tokenizer must come out again.
#include "model/text/hf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>

#include "foundation/base/error.h"
#include "foundation/base/temporary_folder.h"
#include "model/source/open_model.h"
#include "model/text/hf_tokenizer_model.h"
#include "model/text/pre_tokenizer.h"
#include "model/text/pre_tokenizer_kinds.h"
#include "model/text/tokenizer.h"
#include "model/text/tokenizer_metadata.h"

namespace tessera::model {
namespace {

const std::string kTestdata = TESSERA_TESTDATA;

gguf::Metadata metadata_of(const std::string& file) { return open_model(kTestdata + "/" + file).metadata; }

void write(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

/// What the files read to.
gguf::Metadata read_back(const HfTokenizerFiles& files, const gguf::Metadata& metadata) {
  const TemporaryFolder folder;
  write(folder.path() / "tokenizer.json", files.tokenizer.dump());
  write(folder.path() / "tokenizer_config.json", files.tokenizer_config.dump());
  if (!files.sentencepiece_model.empty()) write(folder.path() / "tokenizer.model", files.sentencepiece_model);
  gguf::Metadata result;
  add_tokenizer_metadata(folder.path(), *find_family("LlamaForCausalLM"), json::JsonObject("config.json"),
                         static_cast<std::uint32_t>(metadata.texts("tokenizer.ggml.tokens")->size()), "",
                         result);
  return result;
}

class TokenizerFilesReadBack : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerFilesReadBack, GiveTheSameMetadata) {
  const auto metadata = metadata_of(GetParam());
  const auto again = read_back(hf_tokenizer_files(metadata, GetParam()), metadata);
  for (const auto& [key, value] : metadata.entries()) {
    if (!key.starts_with("tokenizer.")) continue;
    ASSERT_NE(again.find(key), nullptr) << key;
    EXPECT_TRUE(*again.find(key) == value) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, TokenizerFilesReadBack,
                         ::testing::Values("convert/llama-3-tied.gguf", "convert/llama-bias.gguf",
                                           "convert/llama-gpt2.gguf", "convert/mistral.gguf",
                                           "convert/qwen2.gguf", "convert/qwen3.gguf"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::erase_if(name, [](char c) { return c == '-' || c == '/' || c == '.'; });
                           return name;
                         });

TEST(HfTokenizer, TextsHaveTheSameTokensAfterwards) {
  std::ifstream file(kTestdata + "/tokenize/nasty.txt", std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  ASSERT_FALSE(text.empty());
  for (const char* name : {"tokenize/crossing.gguf", "convert/mistral.gguf"}) {
    const auto metadata = metadata_of(name);
    const auto again = read_back(hf_tokenizer_files(metadata, name), metadata);
    EXPECT_EQ(make_tokenizer(again, name)->encode(text), make_tokenizer(metadata, name)->encode(text))
        << name;
  }
}

TEST(HfTokenizer, EveryPreTokenizerIsDescribedAndToldAgainWhereItCanBe) {
  std::set<std::string> told;
  for (const std::string_view name : pre_tokenizer_kind_names()) {
    const PreTokenizerKind& kind = *find_pre_tokenizer_kind(name);
    const json::Value described = described_pre_tokenizer(name);
    EXPECT_TRUE(described.contains("type")) << name;
    const json::Value tokenizer = {{"pre_tokenizer", described},
                                   {"model", {{"ignore_merges", kind.whole_words == WholeWordTokens::yes}}}};
    try {
      const std::string again = pre_tokenizer_name(json::JsonObject(tokenizer.dump(), "tokenizer.json"));
      EXPECT_EQ(find_pre_tokenizer_kind(again), &kind) << name << " becomes " << again;
      told.insert(again);
    } catch (const BadFileError&) {
      // Of a kind whose steps are in no published tokenizer.json that is told.
    }
  }
  const auto known = told_pre_tokenizer_names();
  EXPECT_EQ(told, std::set<std::string>(known.begin(), known.end()));
}

gguf::Metadata sentencepiece(std::vector<std::string> tokens, std::vector<float> scores) {
  gguf::Metadata metadata;
  std::vector<std::int32_t> types(tokens.size(), 1);
  types[0] = 2;
  metadata.set("tokenizer.ggml.model", std::string("llama"));
  metadata.set("tokenizer.ggml.tokens", gguf::Array(std::move(tokens)));
  metadata.set("tokenizer.ggml.scores", gguf::Array(std::move(scores)));
  metadata.set("tokenizer.ggml.token_type", gguf::Array(std::move(types)));
  return metadata;
}

TEST(HfTokenizer, MergesAreAllWaysToMakeATokenByItsScore) {
  const auto metadata =
      sentencepiece({"<unk>", "a", "b", "é", "ab", "abé", "bé"}, {0, -9, -9, -9, -2, -3, -1});
  const auto files = hf_tokenizer_files(metadata, "file");
  EXPECT_EQ(files.tokenizer["model"]["merges"].dump(), R"([["b","é"],["a","b"],["a","bé"],["ab","é"]])");
  EXPECT_EQ(files.tokenizer["model"]["unk_token"], "<unk>");
}

TEST(HfTokenizer, ScoresOfTheSameHeightMergeInTheOrderOfIds) {
  const auto metadata = sentencepiece({"<unk>", "a", "b", "ba", "ab"}, {0, 0, 0, 0, 0});
  EXPECT_EQ(hf_tokenizer_files(metadata, "file").tokenizer["model"]["merges"].dump(),
            R"([["b","a"],["a","b"]])");
}

TEST(HfTokenizer, IdsThatNoTokenHasAreLeftOut) {
  auto metadata = sentencepiece({"<unk>", "a", "[PAD2]"}, {0, -1, -10000});
  metadata.set("tokenizer.ggml.token_type", gguf::Array(std::vector<std::int32_t>{2, 1, 5}));
  EXPECT_FALSE(hf_tokenizer_files(metadata, "file").tokenizer["model"]["vocab"].contains("[PAD2]"));
}

TEST(HfTokenizer, WhatIsNoTokenizerIsRefused) {
  gguf::Metadata none;
  EXPECT_THROW(hf_tokenizer_files(none, "file"), BadFileError);
  auto metadata = metadata_of("convert/qwen2.gguf");
  metadata.set("tokenizer.ggml.pre", std::string("nonesuch"));
  EXPECT_THROW(hf_tokenizer_files(metadata, "file"), BadFileError);
  EXPECT_THROW(hf_tokenizer_files(sentencepiece({"<unk>", std::string(20000, 'a')}, {0, 0}), "file"),
               BadFileError);
}

}  // namespace
}  // namespace tessera::model
