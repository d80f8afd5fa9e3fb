// Properties every block codec must have, as checks that a family's test calls for each of its types.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "codecs/codec_testing.h"

namespace tessera::codecs {

/// Weights as they occur: normal, with a heavy tail; the same for every run.
inline std::vector<float> typical_weights(std::size_t count, std::uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::vector<float> weights(count);
  for (float& weight : weights) {
    // Sums of uniform integers instead of std::normal_distribution, whose values differ between libraries.
    const auto uniform = [&] { return static_cast<float>(random() % 65536u) / 65536.0f - 0.5f; };
    const float normal = uniform() + uniform() + uniform() + uniform();
    weight = 0.03f * normal * (random() % 64u == 0 ? 4.0f : 1.0f);
  }
  return weights;
}

/// Importance over three orders of magnitude, as activations have it.
inline std::vector<float> typical_importance(std::size_t count) {
  std::mt19937 random(2);
  std::vector<float> importance(count);
  for (float& value : importance) value = std::exp2(static_cast<float>(random() % 1000u) / 100.0f - 5.0f);
  return importance;
}

inline std::vector<std::byte> encode_rows_of(const Codec& codec, const EncodeInput& input) {
  std::vector<std::byte> blocks(input.rows() * row_bytes(codec.type(), input.columns));
  codec.encode(input, blocks);
  return blocks;
}

inline double sum_of_squares(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * double{value};
  return sum;
}

inline void expect_zeros_stay_zero(const Codec& codec) {
  const std::size_t columns = info(codec.type()).block_weights;
  const std::vector<float> zeros(3 * columns, 0.0f);
  for (const float value : reconstruct(codec, {zeros, columns, {}})) ASSERT_EQ(value, 0.0f);
}

/// Rows far outside the range of the scales, one with a single huge weight, one with all weights equal: every
/// decoded value is finite, and every row in range is met more closely than by zeros. The row with a single
/// huge weight may have `lone_weight_limit` times the error of zeros.
inline void expect_extreme_rows_give_sensible_blocks(const Codec& codec, double lone_weight_limit = 1.0) {
  const std::size_t columns = info(codec.type()).block_weights;
  for (const float magnitude : {1e30f, 3e38f, 1e-30f, 1e-42f, 1e4f, 0.5f}) {
    auto weights = typical_weights(3 * columns);
    for (std::size_t i = 0; i < columns; ++i) {
      weights[i] *= magnitude;
      weights[columns + i] = i == columns / 3 ? magnitude : weights[i] * 1e-6f;
      weights[2 * columns + i] = magnitude;
    }
    for (const auto& importance : {std::vector<float>(), typical_importance(columns)}) {
      const auto decoded = reconstruct(codec, {weights, columns, importance});
      for (const float value : decoded) ASSERT_TRUE(std::isfinite(value)) << "magnitude " << magnitude;
      if (magnitude < 0.1f || magnitude > 1e5f) continue;
      for (std::size_t row = 0; row < 3; ++row) {
        const auto x = std::span(weights).subspan(row * columns, columns);
        const auto y = std::span(decoded).subspan(row * columns, columns);
        const double zeros = weighted_squared_error(x, std::vector<float>(columns), columns, importance);
        // The single weight may be in a column of little importance, and not every format has a zero.
        EXPECT_LT(weighted_squared_error(x, y, columns, importance),
                  (row == 1 ? lone_weight_limit : 0.6) * zeros)
            << "magnitude " << magnitude << ", row " << row;
      }
    }
  }
}

inline void expect_importance_of_zero_counts_as_none(const Codec& codec) {
  const std::size_t columns = 2 * info(codec.type()).block_weights;
  const auto weights = typical_weights(columns);
  const std::vector<float> nothing(columns, 0.0f);
  EXPECT_EQ(encode_rows_of(codec, {weights, columns, nothing}),
            encode_rows_of(codec, {weights, columns, {}}));
}

/// Columns without importance inside a block that has some still get finite codes.
inline void expect_holes_in_the_importance_are_survived(const Codec& codec) {
  const std::size_t columns = info(codec.type()).block_weights;
  const auto weights = typical_weights(4 * columns);
  auto importance = typical_importance(columns);
  std::fill(importance.begin(), importance.begin() + static_cast<std::ptrdiff_t>(columns / 2), 0.0f);
  const auto decoded = reconstruct(codec, {weights, columns, importance});
  for (const float value : decoded) ASSERT_TRUE(std::isfinite(value));
  const std::vector<float> zeros(weights.size());
  EXPECT_LT(weighted_squared_error(weights, decoded, columns, importance),
            0.6 * weighted_squared_error(weights, zeros, columns, importance));
}

/// The bytes of a row are the same alone, among others, and at any place in a tile.
inline void expect_rows_are_independent(const Codec& codec) {
  const std::size_t columns = 2 * info(codec.type()).block_weights, rows = 19;
  const auto weights = typical_weights(rows * columns);
  const auto importance = typical_importance(columns);
  const auto together = encode_rows_of(codec, {weights, columns, importance});
  const std::size_t bytes = together.size() / rows;
  for (const std::size_t row : {std::size_t{0}, std::size_t{7}, rows - 1}) {
    const auto alone =
        encode_rows_of(codec, {std::span(weights).subspan(row * columns, columns), columns, importance});
    EXPECT_EQ(std::memcmp(alone.data(), together.data() + row * bytes, bytes), 0) << "row " << row;
  }
}

/// The emulated scalar path is the twin of the SIMD paths: the same error but for rounding.
inline void expect_simd_paths_agree(const Codec& codec) {
  const std::size_t columns = 2 * info(codec.type()).block_weights, rows = 16;
  const auto weights = typical_weights(rows * columns);
  const auto importance = typical_importance(columns);
  double lowest = std::numeric_limits<double>::infinity(), highest = 0;
  for (const std::int64_t target : runnable_targets()) {
    const ForcedTarget forced(target);
    const auto decoded = reconstruct(codec, {weights, columns, importance});
    const double error = weighted_squared_error(weights, decoded, columns, importance);
    lowest = std::min(lowest, error);
    highest = std::max(highest, error);
  }
  EXPECT_LE(highest, lowest * 1.001);
}

/// Decoded weights are on the format's grid, so encoding them again finds (nearly) the same ones: what is
/// left is at most `tolerance` of their energy.
inline void expect_decoded_weights_survive(const Codec& codec, double tolerance) {
  const std::size_t columns = info(codec.type()).block_weights, rows = 16;
  const auto once = reconstruct(codec, {typical_weights(rows * columns), columns, {}});
  const auto twice = reconstruct(codec, {once, columns, {}});
  EXPECT_LE(weighted_squared_error(once, twice, columns, {}), tolerance * sum_of_squares(once));
}

}  // namespace tessera::codecs
