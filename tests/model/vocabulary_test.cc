// Byte-level BPE vocabularies, the pre-tokenizers they name, special tokens and chat templates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "foundation/base/error.h"
#include "model/text/byte_level_vocabulary.h"
#include "model/text/chat_template.h"
#include "model/text/pre_tokenizer.h"
#include "model/text/special_tokens.h"
#include "pipeline/small_model.h"

namespace tessera::model {
namespace {

using json::JsonObject;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kByteLevelWords =
    R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})";

/// A tokenizer.json with these sections.
JsonObject tokenizer(const std::string& model, const std::string& more = "",
                     const std::string& pre_tokenizer = kByteLevelWords) {
  return {R"({"model": )" + model + R"(, "pre_tokenizer": )" + pre_tokenizer + more + "}", "tokenizer.json"};
}

const std::string kModel = R"({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]})";

Vocabulary read(const JsonObject& tokenizer_json, std::uint32_t size = 6, const std::string& config = "{}") {
  return read_byte_level_vocabulary(tokenizer_json, JsonObject(config, "tokenizer_config.json"), size, "");
}

TEST(ByteLevelVocabulary, IdsWithoutATokenArePadded) {
  const Vocabulary vocabulary = read(tokenizer(kModel), 5);
  EXPECT_THAT(vocabulary.tokens, ElementsAre("a", "b", "ab", "[PAD3]", "[PAD4]"));
  EXPECT_EQ(vocabulary.types[2], TokenType::normal);
  EXPECT_EQ(vocabulary.types[4], TokenType::unused);
  EXPECT_EQ(vocabulary.pre, "gpt-2");
}

TEST(ByteLevelVocabulary, AddedTokensAreControlWhenSpecialOrSpelledSo) {
  const Vocabulary vocabulary = read(tokenizer(kModel, R"(, "added_tokens": [
      {"id": 3, "content": "<s>", "special": true}, {"id": 4, "content": "<|x|>", "special": false},
      {"id": 5, "content": "▁tool", "special": false}])"));
  EXPECT_THAT(vocabulary.tokens, ElementsAre("a", "b", "ab", "<s>", "<|x|>", " tool"));
  EXPECT_EQ(vocabulary.types[3], TokenType::control);
  EXPECT_EQ(vocabulary.types[4], TokenType::control);
  EXPECT_EQ(vocabulary.types[5], TokenType::user_defined);
}

TEST(ByteLevelVocabulary, TokensNamedSpecialAreControl) {
  const Vocabulary vocabulary = read(tokenizer(kModel), 3, R"({"eos_token": {"content": "b"}})");
  EXPECT_EQ(vocabulary.types[1], TokenType::control);
}

TEST(ByteLevelVocabulary, MergesComeAsTextOrPairs) {
  EXPECT_THAT(read(tokenizer(kModel)).merges, ElementsAre("a b"));
  const std::string pairs = R"({"vocab": {"a": 0}, "merges": [["a", "b"], ["c d", "e"]]})";
  EXPECT_THAT(read(tokenizer(pairs)).merges, ElementsAre("a b", "cĠd e"));
}

struct BadTokenizer {
  std::string name;
  std::string model;
  std::string more;
  std::string says;
};

void PrintTo(const BadTokenizer& value, std::ostream* out) { *out << value.name; }

class RefusedTokenizer : public ::testing::TestWithParam<BadTokenizer> {};

TEST_P(RefusedTokenizer, SaysWhatIsWrong) {
  try {
    read(tokenizer(GetParam().model, GetParam().more));
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json"));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().says));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Hostile, RefusedTokenizer,
    ::testing::Values(
        BadTokenizer{"ModelIsText", R"("BPE")", "", "an object was expected"},
        BadTokenizer{"NoModel", "null", "", "model.vocab"},
        BadTokenizer{"OtherKind", R"({"type": "WordPiece", "vocab": {"a": 0}})", "", "WordPiece"},
        BadTokenizer{"SentencePieceWithoutScores",
                     R"({"byte_fallback": true, "vocab": {"a": 0}, "merges": []})", "", "tokenizer.model"},
        BadTokenizer{"VocabularyIsAList", R"({"vocab": ["a"], "merges": []})", "", "an object was expected"},
        BadTokenizer{"EmptyVocabulary", R"({"vocab": {}, "merges": []})", "", "empty"},
        BadTokenizer{"IdIsText", R"({"vocab": {"a": "0"}, "merges": []})", "", "whole number"},
        BadTokenizer{"IdIsNegative", R"({"vocab": {"a": -1}, "merges": []})", "", "no token id"},
        BadTokenizer{"IdBeyondTheEmbedding", R"({"vocab": {"a": 6}, "merges": []})", "",
                     "vocab_size of config.json is 6"},
        BadTokenizer{"HugeId", R"({"vocab": {"a": 9223372036854775807}, "merges": []})", "", "vocab_size"},
        BadTokenizer{"SameIdTwice", R"({"vocab": {"a": 1, "b": 1}, "merges": []})", "", "same id 1"},
        BadTokenizer{"SameTokenTwice", R"({"vocab": {"a": 1, "a": 2}, "merges": []})", "", "twice"},
        BadTokenizer{"NoMerges", R"({"vocab": {"a": 0}})", "", "merges"},
        BadTokenizer{"MergeOfOne", R"({"vocab": {"a": 0}, "merges": ["a"]})", "", "entry 0"},
        BadTokenizer{"MergeOfThree", R"({"vocab": {"a": 0}, "merges": ["a b", ["a", "b", "c"]]})", "",
                     "entry 1"},
        BadTokenizer{"MergeOfNumbers", R"({"vocab": {"a": 0}, "merges": [[1, 2]]})", "", "entry 0"},
        BadTokenizer{"AddedTokensAreAnObject", kModel, R"(, "added_tokens": {})", "added_tokens"},
        BadTokenizer{"AddedTokenIsANumber", kModel, R"(, "added_tokens": [7])", "entry 0"},
        BadTokenizer{"AddedTokenWithoutId", kModel, R"(, "added_tokens": [{"content": "x"}])", "entry 0"},
        BadTokenizer{"AddedTokenBeyond", kModel, R"(, "added_tokens": [{"id": 6, "content": "x"}])",
                     "token id 6"}),
    [](const auto& parameter) { return parameter.param.name; });

std::string split(const std::string& regex) {
  return nlohmann::json{
      {"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}}
      .dump();
}

std::string sequence(const std::string& steps) {
  return R"({"type": "Sequence", "pretokenizers": [)" + steps + "]}";
}

const std::string kByteLevel = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})";
const std::string kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::string name_of(const std::string& pre_tokenizer, const std::string& model = "{}") {
  return pre_tokenizer_name(tokenizer(model, "", pre_tokenizer));
}

TEST(PreTokenizer, IsToldFromItsSteps) {
  const std::string digits = R"({"type": "Digits", "individual_digits": true})";
  EXPECT_EQ(name_of(kByteLevelWords), "gpt-2");
  EXPECT_EQ(name_of(sequence(digits + "," + kByteLevelWords)), "smollm");
  EXPECT_EQ(name_of(sequence(split(kLlama3) + "," + kByteLevel), R"({"ignore_merges": true})"), "llama-bpe");
  EXPECT_EQ(name_of(sequence(split(kLlama3) + "," + kByteLevel)), "smaug-bpe");
  std::string qwen2 = kLlama3;
  qwen2.replace(qwen2.find("{1,3}"), 5, "");
  EXPECT_EQ(name_of(sequence(sequence(split(qwen2)) + "," + kByteLevel)), "qwen2") << "sequences nest";
  const std::string coder = split("[\r\n]") + "," + split("\\s?\\p{L}+") + "," + split("\\s?\\p{P}+") + "," +
                            split("[一-龥ࠀ-一가-퟿]+") + "," + digits + "," + kByteLevel;
  EXPECT_EQ(name_of(sequence(coder)), "deepseek-coder");
}

TEST(PreTokenizer, UnknownOnesAreRefusedWithTheirStepsAndTheOption) {
  const std::string unknown[] = {
      sequence(split(kLlama3 + "|x") + "," + kByteLevel),
      sequence(kByteLevelWords + "," + kByteLevelWords),
      sequence(""),
      R"({"type": "ByteLevel", "add_prefix_space": true})",
      R"({"type": "Metaspace"})",
      "null",
      "7",
  };
  for (const std::string& pre_tokenizer : unknown) {
    try {
      name_of(pre_tokenizer);
      ADD_FAILURE() << pre_tokenizer << " was accepted";
    } catch (const BadFileError& error) {
      EXPECT_THAT(error.what(), HasSubstr("--pre NAME"));
    }
  }
}

TEST(PreTokenizer, GivenNameIsTakenAsItIs) {
  const auto vocabulary = read_byte_level_vocabulary(tokenizer(kModel, "", R"({"type": "Metaspace"})"),
                                                     JsonObject("{}", "tokenizer_config.json"), 3, "my-pre");
  EXPECT_EQ(vocabulary.pre, "my-pre");
}

gguf::Metadata special(const std::string& tokenizer_json, const std::string& tokenizer_config,
                       const std::string& config) {
  gguf::Metadata metadata;
  add_special_token_metadata(
      {JsonObject(tokenizer_json, "tokenizer.json"), JsonObject(tokenizer_config, "tokenizer_config.json"),
       JsonObject(config, "config.json")},
      100, metadata);
  return metadata;
}

TEST(SpecialTokens, NamesOfTheTokenizerGoBeforeIdsOfTheConfig) {
  const auto metadata =
      special(R"({"added_tokens": [{"id": 9, "content": "</s>"}]})",
              R"({"eos_token": "</s>", "bos_token": {"content": "<s>"}})",
              R"({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": -1, "unk_token_id": 100})");
  EXPECT_EQ(metadata.unsigned_integer("tokenizer.ggml.eos_token_id"), 9u);
  EXPECT_EQ(metadata.unsigned_integer("tokenizer.ggml.bos_token_id"), 1u);
  EXPECT_FALSE(metadata.contains("tokenizer.ggml.padding_token_id")) << "-1 means none";
  EXPECT_FALSE(metadata.contains("tokenizer.ggml.unknown_token_id")) << "beyond the vocabulary";
}

TEST(SpecialTokens, PostProcessorSaysWhatIsAdded) {
  const auto metadata = special(
      R"({"added_tokens": [{"id": 9, "content": "<s>"}], "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel"}, {"type": "TemplateProcessing",
             "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
             "pair": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "<s>"}},
                      {"Sequence": {"id": "B"}}]}]}})",
      R"({"bos_token": "<s>", "add_bos_token": false})", "{}");
  EXPECT_EQ(metadata.boolean("tokenizer.ggml.add_bos_token"), true);
  EXPECT_EQ(metadata.boolean("tokenizer.ggml.add_eos_token"), false);
  EXPECT_EQ(metadata.boolean("tokenizer.ggml.add_sep_token"), false);
}

TEST(SpecialTokens, DisplacedEndOfTextEndsATurn) {
  const auto metadata = special(
      R"({"added_tokens": [{"id": 5, "content": "<end>"}, {"id": 6, "content": "</s>"}],
          "post_processor": {"type": "TemplateProcessing",
                             "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}]}})",
      R"({"eos_token": "<end>"})", "{}");
  EXPECT_EQ(metadata.unsigned_integer("tokenizer.ggml.eos_token_id"), 6u);
  EXPECT_EQ(metadata.unsigned_integer("tokenizer.ggml.eot_token_id"), 5u);
  EXPECT_EQ(metadata.boolean("tokenizer.ggml.add_eos_token"), true);
}

TEST(SpecialTokens, GarbageInThePostProcessorSaysNothing) {
  for (const char* garbage :
       {"7", "[]", "{}", R"({"processors": 7})", R"({"processors": [7, {"type": 3}]})",
        R"({"type": "TemplateProcessing", "single": 1, "pair": [1, {}, {"Sequence": 2}]})",
        R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": 5}}, 3]})"}) {
    const auto metadata = special(std::string(R"({"post_processor": )") + garbage + "}", "{}", "{}");
    EXPECT_TRUE(metadata.entries().empty()) << garbage;
  }
}

TEST(ChatTemplate, NamedTemplatesGetKeysOfTheirOwn) {
  testing::ScratchFolder folder;
  gguf::Metadata metadata;
  add_chat_template_metadata(folder.path(),
                             JsonObject(R"({"chat_template": [{"name": "default", "template": "D"},
                                            {"name": "tool use", "template": "T"}]})",
                                        "tokenizer_config.json"),
                             metadata);
  EXPECT_EQ(metadata.text("tokenizer.chat_template"), "D");
  EXPECT_EQ(metadata.text("tokenizer.chat_template.tool_use"), "T");
  EXPECT_THAT(*metadata.texts("tokenizer.chat_templates"), ElementsAre("tool_use"));
}

TEST(ChatTemplate, FileIsReadWhenTheConfigHasNone) {
  testing::ScratchFolder folder;
  testing::write_whole(folder / "chat_template.jinja", "{{ messages }}");
  gguf::Metadata metadata;
  add_chat_template_metadata(folder.path(), JsonObject("{}", "tokenizer_config.json"), metadata);
  EXPECT_EQ(metadata.text("tokenizer.chat_template"), "{{ messages }}");
}

TEST(ChatTemplate, OtherTypesAreRefused) {
  testing::ScratchFolder folder;
  for (const char* value : {"7", R"([{"name": "x"}])", R"([7])", "{}"}) {
    gguf::Metadata metadata;
    const JsonObject config(std::string(R"({"chat_template": )") + value + "}", "tokenizer_config.json");
    EXPECT_THROW(add_chat_template_metadata(folder.path(), config, metadata), BadFileError) << value;
  }
}

}  // namespace
}  // namespace tessera::model
