// Generation and coherence as whole runs, on the demo model and what quantization makes of it.
#include "pipeline/coherence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "foundation/base/error.h"
#include "pipeline/generate.h"
#include "pipeline/generation_model.h"
#include "pipeline/quantize.h"
#include "pipeline/small_model.h"

namespace tessera::pipeline {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

const std::filesystem::path kTestdata = TESSERA_TESTDATA;
const auto kDemo = kTestdata / "demo-model";

class Texts : public ::testing::Test {
 protected:
  GenerateReport generate(const GenerateSettings& settings) {
    shown.clear();
    return pipeline::generate(
        settings, [&](std::string_view text) { shown += text; }, progress, never);
  }

  std::filesystem::path quantized(const std::string& type) {
    auto path = folder / (type + ".gguf");
    QuantizeSettings settings{.model = kDemo, .output = path, .type = type};
    settings.pure = true;
    pipeline::quantize(settings, progress, never);
    return path;
  }

  Coherence measure(const std::filesystem::path& path, const CoherenceSettings& settings) {
    return measure_coherence(model::open_model(kDemo), model::open_model(path), settings, progress, never);
  }

  testing::ScratchFolder folder;
  SilentProgress progress;
  StopFlag never;
  std::string shown;
};

GenerateSettings demo(const std::string& prompt, std::size_t new_tokens) {
  return {.model = kDemo,
          .prompt = prompt,
          .new_tokens = new_tokens,
          .precision = kernels::Precision::f32,
          .threads = 1};
}

TEST_F(Texts, ComeAsTheyAreReported) {
  const auto report = generate(demo("The", 12));
  EXPECT_EQ(report.generation.tokens.size(), 12u);
  EXPECT_EQ(shown, report.text);
  EXPECT_FALSE(report.text.empty());
  EXPECT_EQ(to_json(report)["tokens"].size(), 12u);
  EXPECT_EQ(to_json(report)["stopped"], "length");
}

TEST_F(Texts, DependOnTheSeedAndNotOnThreadsOrMemory) {
  auto settings = demo("The", 16);
  settings.sampling = {.temperature = 1.2, .top_k = 0, .top_p = 1, .seed = 5};
  const auto report = generate(settings);
  auto other = settings;
  other.threads = 2;
  other.memory_bytes = 0;
  EXPECT_EQ(generate(other).generation.tokens, report.generation.tokens);
  other.sampling.seed = 6;
  EXPECT_NE(generate(other).generation.tokens, report.generation.tokens);
}

TEST_F(Texts, BeginFromNothingWhereTheModelHasABeginning) {
  const auto report = generate(demo("", 4));
  EXPECT_EQ(report.prompt_tokens, std::vector<std::int32_t>{1});
  EXPECT_EQ(report.generation.tokens.size(), 4u);
}

TEST_F(Texts, EndWhereTheContextEnds) {
  const auto opened = model::open_model(kDemo);
  const GenerationModel model(opened);
  const std::size_t context = model.config.context;
  ASSERT_GT(context, 0u);
  std::string prompt;
  while (model.tokenizer->encode(prompt).size() + 8 < context) prompt += " the old house";
  const auto report = generate(demo(prompt, context));
  EXPECT_EQ(report.prompt_tokens.size() + report.generation.tokens.size(), context);
  while (model.tokenizer->encode(prompt).size() < context) prompt += " the old house";
  EXPECT_THROW(generate(demo(prompt, 1)), UsageError);
}

TEST_F(Texts, NeedATokenToGenerateAndSettingsInRange) {
  EXPECT_THROW(generate(demo("The", 0)), UsageError);
  auto settings = demo("The", 2);
  settings.sampling.temperature = -1;
  EXPECT_THROW(generate(settings), UsageError);
  settings.sampling = {.temperature = 1, .top_p = 0};
  EXPECT_THROW(generate(settings), UsageError);
}

TEST_F(Texts, OfTheSameWeightsAreCoherent) {
  const auto coherence =
      measure(quantized("F32"), {.new_tokens = 24, .precision = kernels::Precision::f32, .threads = 1});
  EXPECT_EQ(coherence.pairs.size(), 2 * built_in_prompts().size());
  for (const auto& pair : coherence.pairs) {
    EXPECT_EQ(pair.original.text, pair.quantized.text);
    EXPECT_EQ(pair.original.log_likelihood, pair.quantized.log_likelihood);
    EXPECT_LE(pair.original.figures.tokens, 24u);
    EXPECT_GT(pair.original.perplexity(), 1);
  }
  EXPECT_EQ(judge(coherence).verdict, CoherenceVerdict::coherent);
}

TEST_F(Texts, OfAModelInOneBitAreBroken) {
  const auto coherence = measure(quantized("Q1_0"), {.new_tokens = 48, .threads = 1});
  EXPECT_EQ(judge(coherence).verdict, CoherenceVerdict::broken);
  EXPECT_THAT(judge(coherence).reasons, ::testing::Not(::testing::IsEmpty()));
}

TEST_F(Texts, OfAnotherVocabularyAreNotCompared) {
  try {
    measure(kTestdata / "forward" / "llama-tied", {.new_tokens = 4});
    FAIL() << "the models have different vocabularies";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("llama-tied"));
  }
}

TEST_F(Texts, ToCompareNeedPromptsTokensAndATemperature) {
  EXPECT_THROW(measure(kDemo, {.prompts = {}}), UsageError);
  EXPECT_THROW(measure(kDemo, {.new_tokens = 0}), UsageError);
  EXPECT_THROW(measure(kDemo, {.sampling = {.temperature = 0}}), UsageError);
}

TEST(Prompts, AreLinesWithoutCommentsAndEmptyOnes) {
  EXPECT_EQ(parse_prompts("# no\n\nOne\nTwo # three\n#\nFour"),
            (std::vector<std::string>{"One", "Two # three", "Four"}));
  EXPECT_TRUE(parse_prompts("").empty());
  EXPECT_EQ(built_in_prompts().size(), 8u);
  EXPECT_THAT(built_in_prompts(), Each(::testing::Not(HasSubstr("\r"))));
}

}  // namespace
}  // namespace tessera::pipeline
