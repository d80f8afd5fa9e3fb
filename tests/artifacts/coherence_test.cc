#include "artifacts/coherence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tessera {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A text of `tokens` tokens with the figures of a decent one.
CoherenceText text_of(std::size_t tokens, double perplexity) {
  return {.text = "a text",
          .figures = {.tokens = tokens, .repetition = 0.1, .longest_loop = 0, .distinct = {0.5, 0.8, 0.9}},
          .log_likelihood = -static_cast<double>(tokens) * std::log(perplexity),
          .scored_tokens = tokens};
}

/// One greedy and one sampled pair of equal texts.
Coherence equal_texts() {
  Coherence coherence{
      .new_tokens = 100, .temperature = 0.8, .top_k = 40, .top_p = 0.95, .seed = 1, .pairs = {}};
  for (const auto method : {DecodingMethod::greedy, DecodingMethod::sampled}) {
    coherence.pairs.push_back({"a prompt", method, text_of(100, 10), text_of(100, 10)});
  }
  return coherence;
}

/// The verdict when the quantized model's sampled text is changed.
template <class Change>
CoherenceJudgement judge_with(Change change) {
  auto coherence = equal_texts();
  change(coherence.pairs[1].quantized);
  return judge(coherence);
}

CoherenceVerdict verdict_at_perplexity(double perplexity) {
  return judge_with([&](CoherenceText& text) { text = text_of(100, perplexity); }).verdict;
}

CoherenceVerdict verdict_at_repetition(double repetition) {
  return judge_with([&](CoherenceText& text) { text.figures.repetition = repetition; }).verdict;
}

TEST(Coherence, EqualTextsAreCoherentWithoutReasons) {
  const auto judgement = judge(equal_texts());
  EXPECT_EQ(judgement.verdict, CoherenceVerdict::coherent);
  EXPECT_THAT(judgement.reasons, IsEmpty());
}

TEST(Coherence, UnlikelyTextsAreDegradedAndThenBroken) {
  EXPECT_EQ(verdict_at_perplexity(2), CoherenceVerdict::coherent);
  EXPECT_EQ(verdict_at_perplexity(14.9), CoherenceVerdict::coherent);
  EXPECT_EQ(verdict_at_perplexity(15.1), CoherenceVerdict::degraded);
  EXPECT_EQ(verdict_at_perplexity(39), CoherenceVerdict::degraded);
  EXPECT_EQ(verdict_at_perplexity(41), CoherenceVerdict::broken);
}

TEST(Coherence, RepetitiveTextsAreDegradedAndThenBroken) {
  EXPECT_EQ(verdict_at_repetition(0), CoherenceVerdict::coherent);
  EXPECT_EQ(verdict_at_repetition(0.34), CoherenceVerdict::coherent);
  EXPECT_EQ(verdict_at_repetition(0.36), CoherenceVerdict::degraded);
  EXPECT_EQ(verdict_at_repetition(0.61), CoherenceVerdict::broken);
}

TEST(Coherence, LoopsFewWordsAndEarlyEndsCount) {
  const auto loop = judge_with([](CoherenceText& text) { text.figures.longest_loop = 60; });
  EXPECT_EQ(loop.verdict, CoherenceVerdict::broken);
  EXPECT_THAT(loop.reasons,
              Contains(HasSubstr("sampled texts: share of loops 0.600 against 0.000 (broken)")));
  const auto words = judge_with([](CoherenceText& text) { text.figures.distinct[1] = 0.5; });
  EXPECT_EQ(words.verdict, CoherenceVerdict::degraded);
  EXPECT_THAT(words.reasons, Contains(HasSubstr("distinct 2-grams 0.500 against 0.800")));
  EXPECT_EQ(judge_with([](CoherenceText& text) { text = text_of(45, 10); }).verdict,
            CoherenceVerdict::degraded);
}

TEST(Coherence, AModelThatSaysNothingIsBroken) {
  const auto silent = judge_with([](CoherenceText& text) {
    text = {.text = "", .ended = true, .figures = {}, .log_likelihood = -3, .scored_tokens = 1};
  });
  EXPECT_EQ(silent.verdict, CoherenceVerdict::broken);
  EXPECT_THAT(silent.reasons, Contains(HasSubstr("0 tokens against 100")));
}

TEST(Coherence, AnOriginalThatSaysNothingAsksForNoMore) {
  Coherence coherence = equal_texts();
  for (auto& pair : coherence.pairs) {
    pair.original = {.text = "", .ended = true, .figures = {}, .log_likelihood = -0.1, .scored_tokens = 1};
    pair.quantized = pair.original;
  }
  EXPECT_EQ(judge(coherence).verdict, CoherenceVerdict::coherent);
}

TEST(Coherence, TheWorseOfBothMethodsCounts) {
  auto coherence = equal_texts();
  coherence.pairs[0].quantized = text_of(100, 20);
  EXPECT_EQ(judge(coherence).verdict, CoherenceVerdict::degraded);
  coherence.pairs[1].quantized = text_of(100, 100);
  const auto judgement = judge(coherence);
  EXPECT_EQ(judgement.verdict, CoherenceVerdict::broken);
  EXPECT_EQ(judgement.reasons.size(), 2u);
}

TEST(Coherence, FiguresOverTextsAreWeightedWithTheirTokens) {
  auto coherence = equal_texts();
  auto more = text_of(300, 1000);
  more.figures.repetition = 0.5;
  more.figures.longest_loop = 30;
  more.ended = true;
  coherence.pairs.push_back({"another", DecodingMethod::greedy, more, text_of(300, 10)});
  const auto figures = coherence.compare(DecodingMethod::greedy).original;
  EXPECT_EQ(figures.tokens, 400u);
  EXPECT_EQ(figures.ended, 1u);
  EXPECT_NEAR(figures.perplexity, std::exp((std::log(10) + 3 * std::log(1000)) / 4), 1e-9);
  EXPECT_NEAR(figures.repetition, (0.1 + 3 * 0.5) / 4, 1e-12);
  EXPECT_NEAR(figures.looping, 30.0 / 400, 1e-12);
  EXPECT_NEAR(figures.distinct[2], 0.9, 1e-12);
  EXPECT_EQ(coherence.compare(DecodingMethod::sampled).original.tokens, 100u);
}

TEST(Coherence, TheReportHasVerdictFiguresAndTexts) {
  auto coherence = equal_texts();
  coherence.pairs[1].quantized = text_of(100, 20);
  const auto report = to_json(coherence);
  EXPECT_EQ(report["verdict"], "degraded");
  EXPECT_EQ(report["reasons"].size(), 1u);
  EXPECT_EQ(report["new_tokens"], 100);
  EXPECT_NEAR(report["sampled"]["quantized"]["perplexity"].get<double>(), 20, 1e-9);
  EXPECT_NEAR(report["greedy"]["original"]["repetition"].get<double>(), 0.1, 1e-12);
  ASSERT_EQ(report["texts"].size(), 2u);
  EXPECT_EQ(report["texts"][1]["method"], "sampled");
  EXPECT_EQ(report["texts"][1]["original"]["text"], "a text");
}

}  // namespace
}  // namespace tessera
