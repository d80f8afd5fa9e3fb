#include "foundation/codecs/k_quants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "codecs/codec_testing.h"
#include "foundation/tensor/float16.h"

namespace tessera::codecs {
namespace {

std::vector<float> normal_weights(std::size_t count, unsigned seed = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 0.03f);
  std::vector<float> weights(count);
  std::ranges::generate(weights, [&] { return normal(generator); });
  return weights;
}

std::vector<std::byte> encode(const Codec& codec, std::span<const float> weights, std::size_t columns,
                              std::span<const float> importance = {}) {
  const EncodeInput input{weights, columns, importance};
  std::vector<std::byte> blocks(input.rows() * row_bytes(codec.type(), columns));
  codec.encode(input, blocks);
  return blocks;
}

void expect_finite(const std::vector<float>& values) {
  EXPECT_TRUE(std::ranges::all_of(values, [](float value) { return std::isfinite(value); }));
}

class KQuants : public testing::TestWithParam<const Codec*> {
 protected:
  const Codec& codec() const { return *GetParam(); }
  std::vector<float> round_trip(const std::vector<float>& weights) const {
    return reconstruct(codec(), {weights, weights.size(), {}});
  }
};

TEST_P(KQuants, ZerosStayZeros) {
  for (const float value : round_trip(std::vector<float>(512, 0.0f))) EXPECT_EQ(value, 0.0f);
}

TEST_P(KQuants, EqualWeightsKeepTheirValue) {
  for (const float level : {-0.7f, 1.0f, 300.0f}) {
    for (const float value : round_trip(std::vector<float>(256, level))) {
      EXPECT_NEAR(value, level, 1e-3f * std::abs(level));
    }
  }
}

TEST_P(KQuants, WeightsOnAGridOfAsManyLevelsAsCodesAreFoundAgain) {
  const int bits = static_cast<int>(name_of(codec().type())[1] - '0');
  const int levels = 1 << bits;
  std::vector<float> weights(256);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = 0.25f * static_cast<float>(static_cast<int>(i * 7) % levels - levels / 2);
  }
  const auto decoded = round_trip(weights);
  for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(decoded[i], weights[i], 0.02f);
}

TEST_P(KQuants, EncodingADecodedBlockAgainCostsLittle) {
  const auto weights = normal_weights(4096);
  const auto once = round_trip(weights);
  const auto twice = round_trip(once);
  const double first = weighted_squared_error(weights, once, 4096, {});
  EXPECT_LT(weighted_squared_error(once, twice, 4096, {}), 0.5 * first);
}

TEST_P(KQuants, DecodedWeightsAreNotShrunk) {
  const auto weights = normal_weights(16384);
  const auto decoded = round_trip(weights);
  double energy = 0, shared = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    energy += double{weights[i]} * double{weights[i]};
    shared += double{weights[i]} * double{decoded[i]};
  }
  EXPECT_NEAR(shared / energy, 1.0, 2e-3);
}

TEST_P(KQuants, HugeWeightsSaturateWithTheirSign) {
  const auto decoded = round_trip(std::vector<float>(256, -1e30f));
  expect_finite(decoded);
  for (const float value : decoded) EXPECT_LT(value, -65504.0f);
}

TEST_P(KQuants, WeightsBelowTheSmallestHalfBecomeZero) {
  for (const float tiny : {1e-30f, 1e-42f}) {
    for (const float value : round_trip(std::vector<float>(256, tiny))) EXPECT_EQ(value, 0.0f);
  }
}

TEST_P(KQuants, WeightsNearTheSmallestHalfKeepTheirSize) {
  auto weights = normal_weights(256);
  for (float& weight : weights) weight *= 3e-5f;  // about sixteen times the smallest half
  const double energy = weighted_squared_error(weights, std::vector<float>(256), 256, {});
  EXPECT_LT(weighted_squared_error(weights, round_trip(weights), 256, {}), 0.2 * energy);
}

TEST_P(KQuants, AnOutlierIsKeptAndTheRestStaysFinite) {
  for (const float outlier : {100.0f, 1e6f, -1e30f}) {
    auto weights = normal_weights(256);
    weights[77] = outlier;
    const auto decoded = round_trip(weights);
    expect_finite(decoded);
    if (std::abs(outlier) < 1e6f) {
      EXPECT_NEAR(decoded[77], outlier, 0.05f * std::abs(outlier));
    }
  }
}

TEST_P(KQuants, AllZeroImportanceIsLikeNone) {
  const auto weights = normal_weights(1024);
  EXPECT_EQ(encode(codec(), weights, 512, std::vector<float>(512, 0.0f)), encode(codec(), weights, 512));
}

TEST_P(KQuants, TheUnitOfImportanceDoesNotMatter) {
  const auto weights = normal_weights(1024);
  auto importance = normal_weights(512, 2);
  for (float& value : importance) value *= value;
  const auto expected = encode(codec(), weights, 512, importance);
  for (const float unit : {0x1p-80f, 0x1p90f}) {
    auto scaled = importance;
    for (float& value : scaled) value *= unit;
    EXPECT_EQ(encode(codec(), weights, 512, scaled), expected);
  }
}

TEST_P(KQuants, SubBlocksWithoutImportanceStaySensible) {
  const auto weights = normal_weights(256);
  std::vector<float> importance(256, 1.0f);
  std::fill_n(importance.begin() + 64, 64, 0.0f);
  const auto decoded = reconstruct(codec(), {weights, 256, importance});
  expect_finite(decoded);
  const auto ignored = std::span(weights).subspan(64, 64);
  const double energy = weighted_squared_error(ignored, std::vector<float>(64), 64, {});
  EXPECT_LT(weighted_squared_error(ignored, std::span(decoded).subspan(64, 64), 64, {}), 0.5 * energy);
}

TEST_P(KQuants, ARowHasTheSameBytesAloneAndAmongOthers) {
  const std::size_t columns = 512, rows = 21;
  const auto weights = normal_weights(rows * columns);
  const auto importance = std::vector<float>(columns, 2.0f);
  const auto together = encode(codec(), weights, columns, importance);
  const std::size_t bytes = row_bytes(codec().type(), columns);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto alone =
        encode(codec(), std::span(weights).subspan(row * columns, columns), columns, importance);
    EXPECT_EQ(std::memcmp(alone.data(), together.data() + row * bytes, bytes), 0) << "row " << row;
  }
}

TEST_P(KQuants, EverySimdTargetReachesTheSameError) {
  const auto weights = normal_weights(16 * 512);
  const EncodeInput input{weights, 512, {}};
  const double expected = weighted_squared_error(weights, reconstruct(codec(), input), 512, {});
  for (const std::int64_t target : runnable_targets()) {
    const ForcedTarget forced(target);
    const double error = weighted_squared_error(weights, reconstruct(codec(), input), 512, {});
    EXPECT_NEAR(error, expected, 2e-3 * expected) << hwy::TargetName(target);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, KQuants,
                         testing::ValuesIn(k_quant_codecs().begin(), k_quant_codecs().end()),
                         [](const auto& tested) { return codec_name(tested.param); });

}  // namespace
}  // namespace tessera::codecs
