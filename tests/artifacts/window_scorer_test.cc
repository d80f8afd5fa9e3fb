#include "artifacts/window_scorer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/kernels/logit_statistics.h"

namespace tessera {
namespace {

constexpr std::size_t kWindows = 4;
constexpr std::size_t kContext = 9;  // positions 4 to 7 are scored
constexpr std::size_t kVocabulary = 50;

/// Logits of every scored position of every window, for both models.
struct Logits {
  std::vector<float> original;
  std::vector<float> quantized;
  std::vector<std::int32_t> targets;
};

Logits random_logits(std::size_t rows) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-4.0f, 4.0f);
  Logits logits;
  for (std::size_t i = 0; i < rows * kVocabulary; ++i) {
    logits.original.push_back(uniform(generator));
    logits.quantized.push_back(logits.original.back() + 0.2f * uniform(generator));
  }
  for (std::size_t i = 0; i < rows; ++i) {
    logits.targets.push_back(static_cast<std::int32_t>(generator() % kVocabulary));
  }
  return logits;
}

WindowRows rows_of(const Logits& logits, std::size_t window, std::size_t first, std::size_t count) {
  const std::size_t row = window * 4 + first - 4;
  return {.window = window,
          .first_position = first,
          .targets = std::span(logits.targets).subspan(row, count),
          .original = std::span(logits.original).subspan(row * kVocabulary, count * kVocabulary),
          .quantized = std::span(logits.quantized).subspan(row * kVocabulary, count * kVocabulary)};
}

ScoringSettings settings() {
  return {.windows = kWindows, .context = kContext, .original = "a.gguf", .quantized = "b.gguf"};
}

std::vector<std::vector<float>> values(const WindowScorer& scorer) {
  std::vector<std::vector<float>> list;
  for (const auto& s : scorer.scores()) {
    list.push_back(
        {s.original_log_probability, s.quantized_log_probability, s.kl_divergence, s.same_top ? 1.0f : 0.0f});
  }
  return list;
}

TEST(WindowScorer, ScoresTheSecondHalfOfAWindow) {
  WindowScorer even({.windows = 2, .context = 512, .original = "a.gguf"});
  EXPECT_EQ(even.first_position(), 256u);
  EXPECT_EQ(even.end_position(), 511u);
  EXPECT_EQ(even.scores().size(), 2 * 255u);
  WindowScorer odd({.windows = 1, .context = kContext, .original = "a.gguf"});
  EXPECT_EQ(odd.first_position(), 4u);
  EXPECT_EQ(odd.end_position(), 8u);
}

TEST(WindowScorer, EachTokenIsScoredFromItsRow) {
  const auto logits = random_logits(kWindows * 4);
  WindowScorer scorer(settings());
  for (std::size_t window = 0; window < kWindows; ++window) scorer.add_rows(rows_of(logits, window, 4, 4));
  for (std::size_t row = 0; row < logits.targets.size(); ++row) {
    const auto pair =
        kernels::compare_logits(std::span(logits.original).subspan(row * kVocabulary, kVocabulary),
                                std::span(logits.quantized).subspan(row * kVocabulary, kVocabulary),
                                static_cast<std::size_t>(logits.targets[row]));
    const TokenScore& score = scorer.scores()[row];
    EXPECT_FLOAT_EQ(score.original_log_probability, static_cast<float>(pair.original.target_log_probability));
    EXPECT_FLOAT_EQ(score.quantized_log_probability,
                    static_cast<float>(pair.quantized.target_log_probability));
    EXPECT_FLOAT_EQ(score.kl_divergence, static_cast<float>(pair.kl_divergence));
    EXPECT_EQ(score.same_top, pair.original.top == pair.quantized.top);
  }
}

TEST(WindowScorer, OrderAndThreadsDoNotMatter) {
  const auto logits = random_logits(kWindows * 4);
  WindowScorer in_order(settings());
  for (std::size_t window = 0; window < kWindows; ++window) in_order.add_rows(rows_of(logits, window, 4, 4));
  WindowScorer threaded(settings());
  std::vector<std::jthread> threads;
  for (std::size_t window = kWindows; window-- > 0;) {
    threads.emplace_back([&, window] {
      threaded.add_rows(rows_of(logits, window, 7, 1));
      threaded.add_rows(rows_of(logits, window, 4, 3));
    });
  }
  threads.clear();
  EXPECT_EQ(values(in_order), values(threaded));
}

TEST(WindowScorer, OriginalAloneGetsTheSameScore) {
  const auto logits = random_logits(kWindows * 4);
  WindowScorer pair(settings());
  WindowScorer alone(settings());
  for (std::size_t window = 0; window < kWindows; ++window) {
    auto rows = rows_of(logits, window, 4, 4);
    pair.add_rows(rows);
    rows.quantized = {};
    alone.add_rows(rows);
  }
  for (std::size_t i = 0; i < pair.scores().size(); ++i) {
    EXPECT_EQ(pair.scores()[i].original_log_probability, alone.scores()[i].original_log_probability);
    EXPECT_EQ(alone.scores()[i].kl_divergence, 0);
  }
}

TEST(WindowScorer, BadLogitsAreRefusedWithModelAndPlace) {
  const auto good = random_logits(kWindows * 4);
  for (const bool in_quantized : {false, true}) {
    auto logits = good;
    auto& damaged = in_quantized ? logits.quantized : logits.original;
    damaged[(2 * 4 + 1) * kVocabulary + 7] = std::numeric_limits<float>::quiet_NaN();
    WindowScorer scorer(settings());
    try {
      scorer.add_rows(rows_of(logits, 2, 4, 4));
      FAIL() << "accepted";
    } catch (const BadFileError& error) {
      EXPECT_EQ(error.place().file, in_quantized ? "b.gguf" : "a.gguf");
      EXPECT_THAT(error.what(), ::testing::HasSubstr("position 5 of window 2"));
    }
  }
}

}  // namespace
}  // namespace tessera
