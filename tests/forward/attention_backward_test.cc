// The gradient of attention against a scalar twin in float64, over several blocks of queries and keys.
#include "model/forward/attention_backward.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "forward/golden_model.h"

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

AttentionGradients scalar_gradients(const DecoderConfig& config, const Operands& x, std::uint32_t window) {
  const std::size_t size = config.head_size;
  AttentionGradients result(config, kTokens);
  std::vector<double> dk(x.keys.size());
  std::vector<double> dv(x.values.size());
  const double scale = 1 / std::sqrt(static_cast<double>(size));
  for (std::size_t head = 0; head < config.heads; ++head) {
    const std::size_t group = config.group();
    for (std::size_t t = 0; t < kTokens; ++t) {
      const float* q = &x.queries[((head / group * kTokens + t) * group + head % group) * size];
      const float* gradient = &x.result_gradient[(t * config.heads + head) * size];
      const std::size_t first = window == 0 || t < window ? 0 : t + 1 - window;
      std::vector<double> p(t + 1);
      std::vector<double> dp(t + 1);
      double sum = 0;
      for (std::size_t s = first; s <= t; ++s) {
        const std::size_t key = (head / group * kTokens + s) * size;
        double score = 0;
        for (std::size_t i = 0; i < size; ++i) {
          score += double{q[i]} * x.keys[key + i];
          dp[s] += double{gradient[i]} * x.values[key + i];
        }
        sum += p[s] = std::exp(scale * score);
      }
      double mean = 0;
      for (std::size_t s = first; s <= t; ++s) mean += (p[s] /= sum) * dp[s];
      for (std::size_t i = 0; i < size; ++i) {
        double dq = 0;
        for (std::size_t s = first; s <= t; ++s) {
          const std::size_t key = (head / group * kTokens + s) * size + i;
          const double ds = scale * p[s] * (dp[s] - mean);
          dq += ds * x.keys[key];
          dk[key] += ds * q[i];
          dv[key] += p[s] * gradient[i];
        }
        result.queries[static_cast<std::size_t>(q - x.queries.data()) + i] = static_cast<float>(dq);
      }
    }
  }
  result.keys.assign(dk.begin(), dk.end());
  result.values.assign(dv.begin(), dv.end());
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
  for (const auto precision : {kernels::Precision::f32, kernels::Precision::bf16}) {
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
