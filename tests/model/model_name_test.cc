#include "model/source/model_name.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace tessera::model {
namespace {

TEST(ModelName, PartsOfPublishedNamesAreTold) {
  const ModelName qwen = parse_model_name("Qwen/Qwen2.5-0.5B-Instruct", 494'032'768);
  EXPECT_EQ(qwen.organization, "Qwen");
  EXPECT_EQ(qwen.name, "Qwen2.5-0.5B-Instruct");
  EXPECT_EQ(qwen.basename, "Qwen2.5");
  EXPECT_EQ(qwen.size_label, "0.5B");
  EXPECT_EQ(qwen.finetune, "Instruct");
  EXPECT_EQ(qwen.version, "");

  const ModelName mistral = parse_model_name("mistralai/Mistral-7B-Instruct-v0.3", 7'248'023'552);
  EXPECT_EQ(mistral.basename, "Mistral");
  EXPECT_EQ(mistral.version, "v0.3");
}

TEST(ModelName, SizeFarFromTheParametersIsAContextLength) {
  const ModelName name = parse_model_name("Yarn-Llama-7b-128k", 6'738'415'616);
  EXPECT_EQ(name.size_label, "7B");
  EXPECT_EQ(name.finetune, "128k");
}

TEST(ModelName, BloomsSpellingOfSizesIsUnderstood) {
  EXPECT_EQ(parse_model_name("bloom-7b1", 7'069'016'064).size_label, "7.1B");
}

TEST(ModelName, NameThatSaysNothingHasNoBasename) {
  EXPECT_EQ(parse_model_name("tiny", 5'000'000).basename, "");
}

TEST(ModelName, SentencesPathsAndEmptyNamesAreNotTakenApart) {
  EXPECT_EQ(parse_model_name("my own model", 1).name, "my own model");
  EXPECT_EQ(parse_model_name("./model", 1).organization, "");
  EXPECT_EQ(parse_model_name("", 1).name, "");
  EXPECT_EQ(parse_model_name("----", 1).basename, "");
}

TEST(ModelName, TitlesCapitaliseWordsButNotVersions) {
  EXPECT_EQ(title_of("my-model-v2"), "My Model v2");
  EXPECT_EQ(title_of("Qwen2.5-0.5B-instruct"), "Qwen2.5 0.5B Instruct");
  EXPECT_EQ(title_of("llama-3tied"), "Llama 3tied");
}

TEST(ModelName, SizeLabelsHaveTwoDigits) {
  EXPECT_EQ(size_label(5'246'208), "5.2M");
  EXPECT_EQ(size_label(27'000'000), "27M");
  EXPECT_EQ(size_label(494'032'768), "494M");
  EXPECT_EQ(size_label(1'543'714'304), "1.5B");
  EXPECT_EQ(size_label(36'000), "36K");
  EXPECT_EQ(size_label(500), "0.50K");
}

}  // namespace
}  // namespace tessera::model
