// Attention against its definition in float64.
#include "model/forward/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace tessera::model {
namespace {

struct AttentionCase {
  std::uint32_t heads, kv_heads, head_size;
  std::size_t tokens, first_position;
  std::uint32_t window;
};

DecoderConfig config_of(std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t head_size) {
  DecoderConfig config;
  config.heads = heads;
  config.kv_heads = kv_heads;
  config.head_size = head_size;
  return config;
}

/// Random heads with the values as float64 beside them.
class AttentionData {
 public:
  explicit AttentionData(const AttentionCase& shape)
      : shape_(shape),
        config_(config_of(shape.heads, shape.kv_heads, shape.head_size)),
        heads(config_, kernels::Precision::f32, shape.tokens, shape.first_position + shape.tokens) {
    std::mt19937 random(7);
    fill(heads.queries, random);
    fill(heads.keys, random);
    fill(heads.values, random);
  }

  const DecoderConfig& config() const { return config_; }

  /// result[token, head] by the definition.
  std::vector<double> expected(std::size_t token, std::size_t head) const {
    const std::size_t kv = head / config_.group();
    const auto query =
        row(heads.queries, (kv * shape_.tokens + token) * config_.group() + head % config_.group());
    const std::size_t position = shape_.first_position + token;
    const std::size_t first =
        shape_.window == 0 || position < shape_.window ? 0 : position - shape_.window + 1;
    std::vector<double> weights;
    double sum = 0;
    for (std::size_t s = first; s <= position; ++s) {
      const auto key = row(heads.keys, kv * heads.positions + s);
      double score = 0;
      for (std::size_t i = 0; i < key.size(); ++i) score += double{query[i]} * double{key[i]};
      weights.push_back(std::exp(score / std::sqrt(static_cast<double>(shape_.head_size))));
      sum += weights.back();
    }
    std::vector<double> result(shape_.head_size);
    for (std::size_t s = first; s <= position; ++s) {
      const auto value = row(heads.values, kv * heads.positions + s);
      for (std::size_t i = 0; i < value.size(); ++i) result[i] += weights[s - first] / sum * double{value[i]};
    }
    return result;
  }

 private:
  static void fill(kernels::Matrix& matrix, std::mt19937& random) {
    std::normal_distribution<float> normal;
    std::vector<float> values(matrix.rows() * matrix.columns());
    for (float& value : values) value = normal(random);
    matrix.store(0, values);
  }

  static std::vector<float> row(const kernels::Matrix& matrix, std::size_t index) {
    std::vector<float> values(matrix.columns());
    matrix.load(index, values);
    return values;
  }

  AttentionCase shape_;
  DecoderConfig config_;

 public:
  AttentionHeads heads;
};

class AttentionOverAWindow : public ::testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionOverAWindow, EqualsItsDefinition) {
  const auto& shape = GetParam();
  const AttentionData data(shape);
  Attention attention(data.config(), kernels::Precision::f32);
  kernels::MatrixProducts products;
  kernels::Matrix result(kernels::Precision::f32, shape.tokens, data.config().query_width());
  attention.run(data.heads, {shape.first_position, shape.window}, products, result);
  std::vector<float> row(data.config().query_width());
  for (std::size_t token = 0; token < shape.tokens; ++token) {
    result.load(token, row);
    for (std::size_t head = 0; head < shape.heads; ++head) {
      const auto expected = data.expected(token, head);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(row[head * shape.head_size + i], expected[i], 2e-6)
            << "token " << token << ", head " << head;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionOverAWindow,
                         ::testing::Values(AttentionCase{1, 1, 8, 1, 0, 0}, AttentionCase{4, 4, 16, 33, 0, 0},
                                           AttentionCase{6, 2, 8, 200, 0, 0},
                                           AttentionCase{4, 1, 8, 300, 0, 40},
                                           AttentionCase{2, 1, 8, 150, 0, 1},
                                           AttentionCase{4, 2, 8, 1, 77, 0},
                                           AttentionCase{4, 2, 8, 20, 500, 64}));

TEST(AttentionBlocks, CoverEveryQueryOnceAndEveryKeyItSeesInFewShapes) {
  const DecoderConfig config = config_of(4, 2, 8);
  const AttentionHeads heads(config, kernels::Precision::bf16, 5000, 5000);
  for (const std::uint32_t window : {0u, 300u}) {
    std::size_t next = 0;
    std::vector<std::size_t> key_counts;
    for (const auto& block : attention_blocks(heads, {.window = window}, config.group())) {
      EXPECT_EQ(block.first_token, next);
      next += block.tokens;
      EXPECT_LE(block.first_key, first_visible_key(block.first_token, window));
      EXPECT_GE(block.first_key + block.keys, next);
      EXPECT_LE(block.first_key + block.keys, heads.positions);
      if (std::ranges::find(key_counts, block.keys) == key_counts.end()) key_counts.push_back(block.keys);
    }
    EXPECT_EQ(next, heads.tokens);
    EXPECT_LE(key_counts.size(), 18u);
  }
}

}  // namespace
}  // namespace tessera::model
