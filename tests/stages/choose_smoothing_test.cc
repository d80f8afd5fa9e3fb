// Scales against the formula, trial errors against W8A8 in float64.
#include "stages/choose_smoothing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "stages/choose_smoothing/smoothing_scales.h"
#include "stages/gather_magnitudes.h"
#include "tensor/memory_source.h"

namespace tessera::stages {
namespace {

constexpr std::size_t kColumns = 160;
constexpr std::size_t kTokens = 96;
constexpr std::size_t kOutputs = 150;  // more than a panel
const model::FoldRule& attention() { return model::smoothing_folds("llama")[0]; }

TEST(SmoothingScales, AreTheQuotientOfPowers) {
  const std::vector<float> x = {4, 100, 0.5f}, w = {0.25f, 0.01f, 2};
  for (const double alpha : {0.0, 0.3, 0.5, 1.0}) {
    const auto scales = smoothing_scales(x, w, alpha);
    for (std::size_t j = 0; j < x.size(); ++j)
      EXPECT_DOUBLE_EQ(scales[j], std::pow(double{x[j]}, alpha) / std::pow(double{w[j]}, 1 - alpha));
  }
}

TEST(SmoothingScales, LeaveChannelsWithoutARangeAlone) {
  EXPECT_EQ(smoothing_scales(std::vector<float>{0, 3, 0}, std::vector<float>{1, 0, 0}, 0.5),
            (std::vector<double>{1, 1, 1}));
}

TEST(SmoothingScales, StayWithinTheirBounds) {
  const auto scales =
      smoothing_scales(std::vector<float>{1e30f, 1e-30f}, std::vector<float>{1e-30f, 1e30f}, 0.5);
  EXPECT_EQ(scales, (std::vector<double>{kGreatestScale, kLeastScale}));
}

/// Three readers and an input of which two columns stand out.
struct Trial {
  Trial() {
    for (const char* stem : {"blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v"}) {
      weights.push_back(
          testing::normal_weights(kOutputs * kColumns, 7 + static_cast<unsigned>(weights.size())));
      source.add(std::string(stem) + ".weight", ElementType::F32, {kOutputs, kColumns}, weights.back());
    }
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < kTokens * kColumns; ++i)
      x.push_back(normal(random) * (i % kColumns == 3 || i % kColumns == 90 ? 150.0f : 1.0f));
  }

  SmoothedFold choose(const SmoothingStrength& strength, const SmoothingTrialSettings& settings = {}) const {
    MagnitudeGatherer gatherer(kColumns, kTokens, {});
    kernels::Matrix rows(kernels::Precision::f32, kTokens, kColumns);
    rows.store(0, x);
    gatherer.add(rows, kTokens);
    const FoldInput input{.rule = attention(),
                          .heads = {},
                          .layer = 0,
                          .readers = {0, 1, 2},
                          .channels = kColumns,
                          .magnitudes = gatherer.take("model", {})};
    const StopFlag never;
    return choose_smoothing(source, input, strength, settings, never);
  }

  testing::MemorySource source;
  std::vector<std::vector<float>> weights;
  std::vector<float> x;
};

double largest_of(std::span<const double> values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

/// Mean relative squared output error of W8A8 over tokens, in float64. `static_scale` 0: per token.
double w8a8_error(const std::vector<float>& x, const std::vector<float>& w, const std::vector<double>& scales,
                  double static_scale) {
  const auto codes = [](std::vector<double> row, double scale) {
    for (double& value : row) value = std::clamp(std::nearbyint(value / scale), -128.0, 127.0) * scale;
    return row;
  };
  std::vector<std::vector<double>> rounded_weights;
  for (std::size_t o = 0; o < kOutputs; ++o) {
    std::vector<double> row(kColumns);
    for (std::size_t c = 0; c < kColumns; ++c) row[c] = w[o * kColumns + c] * scales[c];
    rounded_weights.push_back(codes(row, largest_of(row) / 127));
  }
  double sum = 0;
  for (std::size_t t = 0; t < kTokens; ++t) {
    double error = 0, energy = 0;
    std::vector<double> row(kColumns);
    for (std::size_t c = 0; c < kColumns; ++c) row[c] = x[t * kColumns + c] / scales[c];
    const auto rounded = codes(row, static_scale > 0 ? static_scale : largest_of(row) / 127);
    for (std::size_t o = 0; o < kOutputs; ++o) {
      double exact = 0, got = 0;
      for (std::size_t c = 0; c < kColumns; ++c) {
        exact += double{x[t * kColumns + c]} * w[o * kColumns + c];
        got += rounded[c] * rounded_weights[o][c];
      }
      error += (got - exact) * (got - exact);
      energy += exact * exact;
    }
    sum += error / energy;
  }
  return sum / kTokens;
}

TEST(ChosenSmoothing, HasTheErrorsOfW8A8InFloat64) {
  const Trial trial;
  for (const bool is_static : {false, true}) {
    const auto fold = trial.choose({}, {.static_activations = is_static});
    const auto static_scale = [&](const std::vector<double>& scales) {
      double largest = 0;
      for (std::size_t c = 0; c < kColumns; ++c)
        largest = std::max(largest, fold.input_maxima[c] / scales[c]);
      return is_static ? largest / 127 : 0;
    };
    const std::vector<double> ones(kColumns, 1);
    for (std::size_t i = 0; i < 3; ++i) {
      const double naive = w8a8_error(trial.x, trial.weights[i], ones, static_scale(ones));
      const double smoothed = w8a8_error(trial.x, trial.weights[i], fold.scales, static_scale(fold.scales));
      EXPECT_NEAR(fold.linears[i].naive_error, naive, 0.01 * naive);
      EXPECT_NEAR(fold.linears[i].smoothed_error, smoothed, 0.01 * smoothed);
    }
  }
}

TEST(ChosenSmoothing, TakesTheWeightRangeOverAllReaders) {
  const Trial trial;
  const auto fold = trial.choose({.alpha = 0.5});
  for (std::size_t c = 0; c < kColumns; ++c) {
    float input = 0, weight = 0;
    for (std::size_t t = 0; t < kTokens; ++t) input = std::max(input, std::abs(trial.x[t * kColumns + c]));
    for (const auto& w : trial.weights)
      for (std::size_t o = 0; o < kOutputs; ++o) weight = std::max(weight, std::abs(w[o * kColumns + c]));
    EXPECT_DOUBLE_EQ(fold.scales[c], std::sqrt(double{input}) / std::sqrt(double{weight}));
  }
}

TEST(ChosenSmoothing, HelpsWhereColumnsStandOut) {
  const auto fold = Trial().choose({.alpha = 0.5});
  for (const auto& linear : fold.linears) EXPECT_LT(linear.smoothed_error, 0.2 * linear.naive_error);
  EXPECT_EQ(fold.alpha, 0.5);
}

TEST(ChosenSmoothing, IsNeverWorseThanOneHalfWhenSearchedFor) {
  for (const bool is_static : {false, true}) {
    const auto fold = Trial().choose({.kind = SmoothingStrength::Kind::automatic}, {is_static});
    double best = 0, half = 0, naive = 0;
    for (const auto& linear : fold.linears) {
      best += linear.smoothed_error;
      half += linear.half_error.value();
      naive += linear.naive_error;
    }
    EXPECT_LE(best, half);
    EXPECT_LE(best, naive);
  }
}

TEST(ChosenSmoothing, LeavesAFoldAloneWhenAsked) {
  const auto fold = Trial().choose({.kind = SmoothingStrength::Kind::none});
  EXPECT_FALSE(fold.alpha);
  EXPECT_EQ(fold.scales, std::vector<double>(kColumns, 1));
  for (const auto& linear : fold.linears) EXPECT_EQ(linear.smoothed_error, linear.naive_error);
}

TEST(ChosenSmoothing, IsTheSameForAnyNumberOfThreads) {
  const Trial trial;
  const SmoothingStrength searched{.kind = SmoothingStrength::Kind::automatic};
  EXPECT_EQ(trial.choose(searched, {.threads = 1}), trial.choose(searched, {.threads = 3}));
}

}  // namespace
}  // namespace tessera::stages
