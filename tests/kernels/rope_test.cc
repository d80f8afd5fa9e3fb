#include "foundation/kernels/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <cstddef>
#include <span>
#include <vector>

#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

class RopeTest : public EveryTarget {};

RopeSettings settings_for(std::uint32_t dimensions, RopePairs pairs = RopePairs::half_split) {
  RopeSettings settings;
  settings.dimensions = dimensions;
  settings.pairs = pairs;
  return settings;
}

/// Turns pairs as complex numbers by angles from the definition.
std::vector<float> scalar_rotate(std::vector<float> head, const RopeSettings& settings, double position) {
  const std::size_t pairs = settings.dimensions / 2;
  for (std::size_t i = 0; i < pairs; ++i) {
    const bool interleaved = settings.pairs == RopePairs::interleaved;
    float& a = head[interleaved ? 2 * i : i];
    float& b = head[interleaved ? 2 * i + 1 : i + pairs];
    const double angle =
        position * std::pow(settings.base, -static_cast<double>(i) / static_cast<double>(pairs));
    const auto turned = std::complex<double>(a, b) * std::polar(1.0, angle);
    a = static_cast<float>(turned.real());
    b = static_cast<float>(turned.imag());
  }
  return head;
}

/// The table's frequencies and magnitude against those that transformers computes (modeling_rope_utils of
/// transformers 5, head size 16).
void expect_frequencies(const RopeSettings& settings, std::span<const double> frequencies, double magnitude) {
  const RopeTable table(settings, 4);
  for (std::uint32_t position = 0; position < 4; ++position) {
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
      EXPECT_NEAR(table.cosines(position)[i], magnitude * std::cos(position * frequencies[i]), 3e-7);
      EXPECT_NEAR(table.sines(position)[i], magnitude * std::sin(position * frequencies[i]), 3e-7);
    }
    // The slowest pair's sine is its angle: what an absolute bound would not see.
    const double angle = position * magnitude * frequencies.back();
    EXPECT_NEAR(table.sines(position).back(), angle, 1e-6 * angle);
  }
}

TEST_P(RopeTest, TurnsAsComplexNumbersDoAndLeavesTheRest) {
  for (const auto pairs : {RopePairs::interleaved, RopePairs::half_split}) {
    for (const std::uint32_t dimensions : {2u, 22u, 64u, 128u}) {
      const auto settings = settings_for(dimensions, pairs);
      const RopeTable table(settings, 600);
      for (const std::uint32_t position : {0u, 1u, 511u}) {
        auto head = random_values(dimensions + 5, position);
        const auto expected = scalar_rotate(head, settings, position);
        rotate(head, table, position);
        for (std::size_t i = 0; i < head.size(); ++i) EXPECT_NEAR(head[i], expected[i], 3e-7);
      }
    }
  }
}

TEST_P(RopeTest, RotatingBackIsTheInverseAndTheTranspose) {
  for (const auto pairs : {RopePairs::interleaved, RopePairs::half_split}) {
    auto settings = settings_for(44, pairs);
    const RopeTable table(settings, 100);
    const auto x = random_values(44, 1);
    auto turned = x;
    rotate(turned, table, 99);
    rotate_back(turned, table, 99);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(turned[i], x[i], 3e-7);

    // With a magnitude it is no longer the inverse: <y, R x> = <R^T y, x> remains.
    settings.frequency_scale = 0.25;
    settings.yarn = YarnSettings{.original_context = 4096};
    const RopeTable stretched(settings, 100);
    const auto y = random_values(44, 2);
    auto rx = x;
    auto ry = y;
    rotate(rx, stretched, 77);
    rotate_back(ry, stretched, 77);
    double forward = 0;
    double backward = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      forward += double{y[i]} * rx[i];
      backward += double{ry[i]} * x[i];
    }
    EXPECT_NEAR(forward, backward, 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RopeTest, all_targets(), target_name);

TEST(RopeTable, LinearScalingDividesEveryFrequency) {
  auto settings = settings_for(16);
  settings.frequency_scale = 0.25;
  expect_frequencies(settings,
                     std::vector<double>{0.25, 0.079056941, 0.025, 0.00790569466, 0.0025, 0.000790569466,
                                         0.00025, 7.90569466e-05},
                     1.0);
}

TEST(RopeTable, Llama3DivisorsDivideTheFrequencies) {
  auto settings = settings_for(16);
  settings.base = 500000;
  // 32 for the three slowest pairs of factor 32, and between the two bounds what Llama 3's rule gives.
  const float between = static_cast<float>(std::pow(500000.0, -0.5) / 0.000429556705);
  settings.frequency_divisors = {1, 1, 1, 1, between, 32, 32, 32};
  expect_frequencies(settings,
                     std::vector<double>{1.0, 0.193922758, 0.0376060307, 0.00729266508, 0.000429556705,
                                         8.57025589e-06, 1.66196742e-06, 3.22293289e-07},
                     1.0);
}

TEST(RopeTable, YarnRampsBetweenFastAndSlowPairsAndRaisesTheMagnitude) {
  auto settings = settings_for(16);
  settings.frequency_scale = 0.25;
  settings.yarn = YarnSettings{.original_context = 4096};
  expect_frequencies(settings,
                     std::vector<double>{1.0, 0.316227764, 0.100000001, 0.025693506, 0.00624999963,
                                         0.00138349656, 0.000250000012, 7.90569466e-05},
                     1.138629436111989);
}

TEST(RopeTable, YarnTakesBoundsAndMagnitudeAsGiven) {
  auto settings = settings_for(16);
  settings.base = 1e6;
  settings.frequency_scale = 0.125;
  settings.yarn = YarnSettings{
      .attention_factor = 0.9, .beta_fast = 16, .beta_slow = 2, .original_context = 2048, .truncate = false};
  expect_frequencies(settings,
                     std::vector<double>{1.0, 0.177827939, 0.0257716198, 0.000702926656, 0.000125000006,
                                         2.22284925e-05, 3.95284678e-06, 7.02926684e-07},
                     0.9);
}

TEST(RopeTable, YarnWithoutItsMixIsLinearScaling) {
  auto linear = settings_for(16);
  linear.frequency_scale = 0.25;
  auto yarn = linear;
  yarn.yarn = YarnSettings{.extrapolation_mix = 0, .original_context = 4096};
  const RopeTable expected(linear, 50);
  const RopeTable table(yarn, 50);
  for (std::uint32_t position = 0; position < 50; ++position) {
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(table.cosines(position)[i], expected.cosines(position)[i]);
  }
}

}  // namespace
}  // namespace tessera::kernels
