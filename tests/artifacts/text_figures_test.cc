#include "artifacts/text_figures.h"

#include <gtest/gtest.h>

#include <vector>

namespace tessera {
namespace {

using Tokens = std::vector<std::int32_t>;

TEST(TextFigures, OfNoTextAreThoseOfOneWithoutRepetition) {
  const auto figures = text_figures({});
  EXPECT_EQ(figures.tokens, 0u);
  EXPECT_EQ(figures.repetition, 0);
  EXPECT_EQ(figures.longest_loop, 0u);
  for (const double share : figures.distinct) EXPECT_EQ(share, 1);
}

TEST(TextFigures, DistinctGramsAreCountedAgainstAllGrams) {
  const auto figures = text_figures(Tokens{1, 2, 1, 2, 3});
  EXPECT_DOUBLE_EQ(figures.distinct[0], 3.0 / 5);  // 1 2 3
  EXPECT_DOUBLE_EQ(figures.distinct[1], 3.0 / 4);  // 12 21 12 23
  EXPECT_DOUBLE_EQ(figures.distinct[2], 3.0 / 3);  // 121 212 123
  EXPECT_EQ(text_figures(Tokens{7}).distinct[2], 1);
}

TEST(TextFigures, RepetitionCountsTheTokensOfFourGramsSeenBefore) {
  EXPECT_EQ(text_figures(Tokens{1, 2, 3, 1, 2, 3}).repetition, 0);  // no 4-gram twice
  EXPECT_DOUBLE_EQ(text_figures(Tokens{1, 2, 3, 4, 9, 1, 2, 3, 4}).repetition, 4.0 / 9);
  // Two overlapping 4-grams cover five tokens; two apart eight.
  EXPECT_DOUBLE_EQ(text_figures(Tokens{1, 2, 3, 4, 5, 9, 1, 2, 3, 4, 5}).repetition, 5.0 / 11);
  EXPECT_DOUBLE_EQ(text_figures(Tokens{1, 2, 3, 4, 8, 1, 2, 3, 4, 9, 1, 2, 3, 4}).repetition, 8.0 / 14);
  // In a run of one token the first 4-gram is new, and all after it are its repetition.
  EXPECT_DOUBLE_EQ(text_figures(Tokens(10, 5)).repetition, 9.0 / 10);
}

TEST(TextFigures, ALoopIsAUnitSaidThreeTimesInARow) {
  EXPECT_EQ(text_figures(Tokens{1, 2, 1, 2}).longest_loop, 0u);
  EXPECT_EQ(text_figures(Tokens{9, 1, 2, 1, 2, 1, 2, 8}).longest_loop, 6u);
  EXPECT_EQ(text_figures(Tokens{9, 1, 2, 1, 2, 1, 2, 1, 8}).longest_loop, 7u);  // with its broken end
  EXPECT_EQ(text_figures(Tokens{5, 5, 5, 7, 1, 2, 3, 1, 2, 3, 1, 2, 3}).longest_loop, 9u);
  EXPECT_EQ(text_figures(Tokens{4, 4, 7, 4, 4, 7, 4, 4}).longest_loop, 0u);
  EXPECT_EQ(text_figures(Tokens(100, 3)).longest_loop, 100u);
}

}  // namespace
}  // namespace tessera
