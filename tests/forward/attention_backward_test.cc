// The gradient of attention against a scalar twin in float64, over several blocks of queries and keys.
#include "model/forward/attention_backward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "forward/golden_model.h"
#include "foundation/kernels/gemm.h"

namespace tessera::model {
namespace {

constexpr std::size_t kTokens = 300;  // more than two blocks of queries

DecoderConfig small_config() {
  DecoderConfig config;
  config.heads = 6;
  config.kv_heads = 2;
  config.head_size = 16;
  return config;
}

std::vector<float> normal_values(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

/// Everything in the rows of AttentionHeads.
struct Operands {
  std::vector<float> queries, keys, values;
  std::vector<float> result_gradient;  ///< [tokens, heads * head_size]
};

/// In float64, in the rows of AttentionHeads.
struct ScalarGradients {
  std::vector<double> queries, keys, values;
};

/// Adds what one query head of one token passes back to the keys and values in [first, t].
void add_query(const DecoderConfig& config, const Operands& x, std::size_t head, std::size_t t,
               std::size_t first, ScalarGradients& result) {
  const std::size_t size = config.head_size;
  const std::size_t group = config.group();
  const std::size_t query = ((head / group * kTokens + t) * group + head % group) * size;
  const std::size_t key = head / group * kTokens * size;
  const std::size_t gradient = (t * config.heads + head) * size;
  const double scale = 1 / std::sqrt(static_cast<double>(size));
  std::vector<double> p(t + 1);
  std::vector<double> dp(t + 1);
  double sum = 0;
  for (std::size_t s = first; s <= t; ++s) {
    double score = 0;
    for (std::size_t i = 0; i < size; ++i) {
      score += double{x.queries[query + i]} * x.keys[key + s * size + i];
      dp[s] += double{x.result_gradient[gradient + i]} * x.values[key + s * size + i];
    }
    sum += p[s] = std::exp(scale * score);
  }
  double mean = 0;
  for (std::size_t s = first; s <= t; ++s) mean += (p[s] /= sum) * dp[s];
  for (std::size_t s = first; s <= t; ++s) {
    const double ds = scale * p[s] * (dp[s] - mean);
    for (std::size_t i = 0; i < size; ++i) {
      result.queries[query + i] += ds * x.keys[key + s * size + i];
      result.keys[key + s * size + i] += ds * x.queries[query + i];
      result.values[key + s * size + i] += p[s] * x.result_gradient[gradient + i];
    }
  }
}

AttentionGradients scalar_gradients(const DecoderConfig& config, const Operands& x, std::uint32_t window) {
  ScalarGradients sums{std::vector<double>(x.queries.size()), std::vector<double>(x.keys.size()),
                       std::vector<double>(x.values.size())};
  for (std::size_t head = 0; head < config.heads; ++head) {
    for (std::size_t t = 0; t < kTokens; ++t)
      add_query(config, x, head, t, window == 0 || t < window ? 0 : t + 1 - window, sums);
  }
  AttentionGradients result(config, kTokens);
  const auto to_float = [](double value) { return static_cast<float>(value); };
  std::ranges::transform(sums.queries, result.queries.begin(), to_float);
  std::ranges::transform(sums.keys, result.keys.begin(), to_float);
  std::ranges::transform(sums.values, result.values.begin(), to_float);
  return result;
}

class AttentionBackwardTest : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(AttentionBackwardTest, EqualsItsScalarTwinAlsoWhenCalledAgain) {
  const auto config = small_config();
  const std::uint32_t window = GetParam();
  const Operands x{
      normal_values(kTokens * config.query_width(), 1), normal_values(kTokens * config.key_value_width(), 2),
      normal_values(kTokens * config.key_value_width(), 3), normal_values(kTokens * config.query_width(), 4)};
  const auto expected = scalar_gradients(config, x, window);
  for (const auto precision : kernels::available_precisions()) {
    AttentionHeads heads(config, precision, kTokens, kTokens);
    heads.queries.store(0, x.queries);
    heads.keys.store(0, x.keys);
    heads.values.store(0, x.values);
    Attention attention(config, precision);
    AttentionBackward backward(config, precision, kTokens);
    AttentionGradients gradients(config, kTokens);
    kernels::MatrixProducts products;
    const double tolerance = precision == kernels::Precision::f32 ? 1e-5 : 1e-2;
    ASSERT_GT(attention_blocks(heads, {.window = window}, config.group()).size(), 2u);
    for (int again = 0; again < 2; ++again) {
      backward.run(heads, {.window = window}, x.result_gradient, attention, products, gradients);
      EXPECT_LT(testing::relative_error(expected.queries, gradients.queries), tolerance);
      EXPECT_LT(testing::relative_error(expected.keys, gradients.keys), tolerance);
      EXPECT_LT(testing::relative_error(expected.values, gradients.values), tolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Windows, AttentionBackwardTest, ::testing::Values(0u, 2u, 40u, 200u));

}  // namespace
}  // namespace tessera::model
