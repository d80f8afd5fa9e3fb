#include "artifacts/token_score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace tessera {
namespace {

std::vector<TokenScore> random_scores(std::size_t count) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  std::vector<TokenScore> scores(count);
  for (auto& score : scores) {
    score.original_log_probability = -6.0f * uniform(generator);
    score.quantized_log_probability = score.original_log_probability - 0.5f * uniform(generator) + 0.2f;
    score.kl_divergence = uniform(generator) * uniform(generator);
    score.same_top = uniform(generator) < 0.8f;
  }
  return scores;
}

/// Sums of a column and of its squares and products, as llama-perplexity keeps them, and what it makes of
/// them.
struct Sums {
  double count = 0;
  double x = 0;
  double y = 0;
  double xx = 0;
  double yy = 0;
  double xy = 0;

  void add(double x_value, double y_value) {
    ++count;
    x += x_value;
    y += y_value;
    xx += x_value * x_value;
    yy += y_value * y_value;
    xy += x_value * y_value;
  }
  double x_mean() const { return x / count; }
  double y_mean() const { return y / count; }
  double x_error() const { return std::sqrt((xx / count - x_mean() * x_mean()) / (count - 1)); }
  double y_error() const { return std::sqrt((yy / count - y_mean() * y_mean()) / (count - 1)); }
  double covariance() const { return (xy / count - x_mean() * y_mean()) / (count - 1); }
};

void expect_near(const Estimate& estimate, double value, double error) {
  EXPECT_NEAR(estimate.value, value, 1e-9 * std::fabs(value));
  EXPECT_NEAR(estimate.standard_error, error, 1e-9 * error);
}

TEST(TokenScore, PerplexitiesAreThoseOfTheSums) {
  const auto scores = random_scores(1000);
  Sums sums;
  for (const auto& s : scores) sums.add(-s.original_log_probability, -s.quantized_log_probability);
  const double original = std::exp(sums.x_mean());
  const double quantized = std::exp(sums.y_mean());
  expect_near(original_perplexity(scores), original, original * sums.x_error());
  expect_near(quantized_perplexity(scores), quantized, quantized * sums.y_error());

  const auto change = prediction_change(scores);
  EXPECT_NEAR(change.perplexity_delta_pct, 100 * (quantized / original - 1), 1e-9);
  const double ratio_error =
      std::sqrt(sums.x_error() * sums.x_error() + sums.y_error() * sums.y_error() - 2 * sums.covariance());
  EXPECT_NEAR(change.perplexity_log_ratio.value, std::log(quantized / original), 1e-9);
  EXPECT_NEAR(change.perplexity_log_ratio.standard_error, ratio_error, 1e-9 * ratio_error);
  EXPECT_NEAR(change.log_probability_correlation, sums.covariance() / (sums.x_error() * sums.y_error()),
              1e-9);
}

TEST(TokenScore, ChangeOfProbabilityIsInPercentagePoints) {
  const auto scores = random_scores(1000);
  Sums changes;  // of the change and its square
  Sums agreement;
  for (const auto& s : scores) {
    const double change =
        100 * (std::exp(double{s.quantized_log_probability}) - std::exp(double{s.original_log_probability}));
    changes.add(change, change * change);
    agreement.add(s.same_top ? 1 : 0, 0);
  }
  const auto change = prediction_change(scores);
  expect_near(change.probability_change_mean_pct, changes.x_mean(), changes.x_error());
  const double rms = std::sqrt(changes.y_mean());
  expect_near(change.probability_change_rms_pct, rms, 0.5 / rms * changes.y_error());
  const double share = agreement.x_mean();
  expect_near(change.top_1_agreement_pct, 100 * share, 100 * std::sqrt(share * (1 - share) / 999));
}

TEST(TokenScore, QuantilesLieBetweenTheirNeighbours) {
  std::vector<TokenScore> scores(1001);
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i].kl_divergence = static_cast<float>(i);
  std::ranges::shuffle(scores, std::mt19937(2));
  auto quantiles = prediction_change(scores).kl_quantiles;
  EXPECT_DOUBLE_EQ(quantiles.median, 500);
  EXPECT_DOUBLE_EQ(quantiles.p90, 900);
  EXPECT_DOUBLE_EQ(quantiles.p95, 950);
  EXPECT_DOUBLE_EQ(quantiles.p99, 990);
  EXPECT_DOUBLE_EQ(quantiles.p99_9, 999);
  EXPECT_DOUBLE_EQ(quantiles.maximum, 1000);
  const std::vector<TokenScore> two = {{.kl_divergence = 3}, {.kl_divergence = 1}};
  quantiles = prediction_change(two).kl_quantiles;
  EXPECT_DOUBLE_EQ(quantiles.median, 2);
  EXPECT_DOUBLE_EQ(quantiles.p90, 2.8);
  EXPECT_DOUBLE_EQ(quantiles.maximum, 3);
}

TEST(TokenScore, AnUnchangedModelHasNoChange) {
  auto scores = random_scores(100);
  for (auto& score : scores) {
    score = {score.original_log_probability, score.original_log_probability, 0.0f, true};
  }
  const auto change = prediction_change(scores);
  EXPECT_EQ(change.perplexity_delta_pct, 0);
  EXPECT_EQ(change.perplexity_log_ratio.standard_error, 0);
  EXPECT_NEAR(change.log_probability_correlation, 1, 1e-12);
  EXPECT_EQ(change.kl_divergence.value, 0);
  EXPECT_EQ(change.kl_quantiles.maximum, 0);
  EXPECT_EQ(change.top_1_agreement_pct.value, 100);
  EXPECT_EQ(change.probability_change_rms_pct.value, 0);
  EXPECT_EQ(change.probability_change_rms_pct.standard_error, 0);
}

std::vector<TokenScore> scores_with(const std::vector<float>& divergences) {
  std::vector<TokenScore> scores;
  for (const float divergence : divergences) scores.push_back({-1.0f, -1.0f, divergence, true});
  return scores;
}

TEST(TokenScore, HistogramCountsEveryTokenInTheBinItBelongsTo) {
  auto scores = random_scores(5000);
  const auto bins = kl_histogram_of(scores);
  double lower = 0;
  std::uint64_t total = 0;
  for (const auto& bin : bins) {
    const auto within = std::ranges::count_if(scores, [&](const TokenScore& score) {
      return score.kl_divergence <= bin.upper && (lower == 0 || score.kl_divergence > lower);
    });
    EXPECT_EQ(bin.tokens, static_cast<std::uint64_t>(within)) << bin.upper;
    if (lower > 0) {
      EXPECT_NEAR(bin.upper / lower, std::pow(10.0, 0.25), 1e-12);
    }
    lower = bin.upper;
    total += bin.tokens;
  }
  EXPECT_EQ(total, scores.size());
  EXPECT_GT(bins.front().tokens, 0u);
  EXPECT_GT(bins.back().tokens, 0u);
}

TEST(TokenScore, HistogramTakesAnUpperEndIntoItsBin) {
  EXPECT_EQ(kl_histogram_of(scores_with({1.0f, 1.0f, 10.0f})).front(), (HistogramBin{1, 2}));
  EXPECT_EQ(kl_histogram_of(scores_with({std::nextafter(1.0f, 2.0f)})).front().upper, std::pow(10.0, 0.25));
}

TEST(TokenScore, HistogramCountsWhatIsBeyondItsEndsInTheOutermostBins) {
  const auto bins = kl_histogram_of(scores_with({-1e-7f, 0.0f, 1e-9f, 2000.0f}));
  EXPECT_EQ(bins.front(), (HistogramBin{std::pow(10.0, -6.0), 3}));
  EXPECT_EQ(bins.back(), (HistogramBin{1000, 1}));
  EXPECT_EQ(bins.size(), 37u);
}

TEST(TokenScore, OneTokenHasNoError) {
  const std::vector<TokenScore> one = {{-1.0f, -2.0f, 0.5f, false}};
  EXPECT_DOUBLE_EQ(original_perplexity(one).value, std::exp(1.0));
  EXPECT_EQ(original_perplexity(one).standard_error, 0);
  const auto change = prediction_change(one);
  EXPECT_DOUBLE_EQ(change.perplexity_log_ratio.value, 1);
  EXPECT_EQ(change.log_probability_correlation, 1);
  EXPECT_DOUBLE_EQ(change.kl_quantiles.p99, 0.5);
}

}  // namespace
}  // namespace tessera
