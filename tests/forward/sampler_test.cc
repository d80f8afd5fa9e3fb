#include "model/forward/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "foundation/base/error.h"

namespace tessera::model {
namespace {

using Tokens = std::vector<std::int32_t>;

Tokens draw(const SamplingSettings& settings, const std::vector<float>& logits, std::size_t count) {
  Sampler sampler(settings);
  Tokens tokens;
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(sampler.choose(logits));
  return tokens;
}

std::map<std::int32_t, double> shares(const Tokens& tokens) {
  std::map<std::int32_t, double> result;
  for (const auto token : tokens) result[token] += 1.0 / static_cast<double>(tokens.size());
  return result;
}

const std::vector<float> kLogits = {0.5f, 2.0f, -1.0f, 1.0f, 2.0f, 0.0f};

TEST(Sampler, GreedyTakesTheFirstOfTheLargest) { EXPECT_EQ(draw({}, kLogits, 2), Tokens({1, 1})); }

TEST(Sampler, DrawsInProportionToTheTemperedProbabilities) {
  constexpr std::size_t kDraws = 200'000;
  for (const double temperature : {0.5, 1.0, 2.0}) {
    const auto found =
        shares(draw({.temperature = temperature, .top_k = 0, .top_p = 1, .seed = 7}, kLogits, kDraws));
    double total = 0;
    for (const float logit : kLogits) total += std::exp(logit / temperature);
    for (std::size_t i = 0; i < kLogits.size(); ++i) {
      const double expected = std::exp(kLogits[i] / temperature) / total;
      const auto share = found.find(static_cast<std::int32_t>(i));
      const double tolerance = 5 * std::sqrt(expected / kDraws);
      EXPECT_NEAR(share == found.end() ? 0 : share->second, expected, tolerance)
          << i << " at " << temperature;
    }
  }
}

TEST(Sampler, TopKKeepsTheMostProbableAndOrdersEqualsById) {
  const auto found = shares(draw({.temperature = 5, .top_k = 3, .top_p = 1}, kLogits, 1000));
  EXPECT_THAT(found, ::testing::SizeIs(3));
  for (const std::int32_t token : {1, 3, 4}) EXPECT_TRUE(found.contains(token));
  EXPECT_THAT(shares(draw({.temperature = 5, .top_k = 1, .top_p = 1}, kLogits, 100)), ::testing::SizeIs(1));
}

TEST(Sampler, TopPKeepsTheShortestListThatReachesTheShare) {
  // Probabilities 0.5, 0.3, 0.2.
  const std::vector<float> logits = {std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  const auto kept = [&](double share) {
    return shares(draw({.temperature = 3, .top_k = 0, .top_p = share}, logits, 1000)).size();
  };
  EXPECT_EQ(kept(0.4), 1u);
  EXPECT_EQ(kept(0.6), 2u);
  EXPECT_EQ(kept(0.79), 2u);
  EXPECT_EQ(kept(0.9), 3u);
  EXPECT_EQ(kept(1.0), 3u);
  EXPECT_EQ(kept(1e-9), 1u);
}

TEST(Sampler, TheSeedDecidesAndTheSequenceIsFixed) {
  const SamplingSettings settings{.temperature = 1, .top_k = 0, .top_p = 1, .seed = 42};
  const auto tokens = draw(settings, kLogits, 50);
  EXPECT_EQ(draw(settings, kLogits, 50), tokens);
  auto other = settings;
  other.seed = 43;
  EXPECT_NE(draw(other, kLogits, 50), tokens);
  // The first numbers of std::mt19937_64(42), shifted to [0, 1): 0.755155, 0.638970, 0.123990, over the
  // probabilities 0.325, 0.325, 0.120, 0.073, 0.044, 0.016 of tokens 1, 4, 3, 0, 5, 2.
  std::mt19937_64 generator(42);
  const std::array order = {1, 4, 3, 0, 5, 2};
  for (const auto token : tokens) {
    double rest = std::ldexp(static_cast<double>(generator() >> 11), -53);
    double total = 0;
    for (const float logit : kLogits) total += std::exp(double{logit});
    std::size_t i = 0;
    while (rest >= std::exp(double{kLogits[static_cast<std::size_t>(order[i])]}) / total) {
      rest -= std::exp(double{kLogits[static_cast<std::size_t>(order[i++])]}) / total;
    }
    EXPECT_EQ(token, order[i]);
  }
}

TEST(Sampler, ASmallTemperatureIsGreedy) {
  const std::vector<float> logits = {0.0f, 3.0f, 2.9f};
  EXPECT_EQ(shares(draw({.temperature = 1e-300, .top_k = 0, .top_p = 1}, logits, 100)).count(1), 1u);
  EXPECT_EQ(shares(draw({.temperature = 1e-300, .top_k = 0, .top_p = 1}, logits, 100)).size(), 1u);
}

TEST(Sampler, SettingsOutOfRangeAreRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double temperature : {-0.1, nan, infinity}) {
    EXPECT_THROW(Sampler({.temperature = temperature}), UsageError) << temperature;
  }
  for (const double top_p : {0.0, -1.0, 1.01, nan}) {
    EXPECT_THROW(Sampler({.temperature = 1, .top_p = top_p}), UsageError) << top_p;
  }
}

}  // namespace
}  // namespace tessera::model
