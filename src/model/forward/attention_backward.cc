#include "model/forward/attention_backward.h"

#include <algorithm>
#include <cassert>

#include "foundation/kernels/softmax.h"

namespace tessera::model {

AttentionGradients::AttentionGradients(const DecoderConfig& config, std::size_t tokens)
    : queries(tokens * config.query_width()),
      keys(tokens * config.key_value_width()),
      values(tokens * config.key_value_width()) {}

AttentionBackward::AttentionBackward(const DecoderConfig& config, kernels::Precision precision,
                                     std::size_t tokens)
    : tokens_(tokens),
      group_(config.group()),
      kv_heads_(config.kv_heads),
      head_size_(config.head_size),
      precision_(precision),
      result_gradients_(precision, config.heads * tokens, config.head_size) {}

void AttentionBackward::run(const AttentionHeads& heads, const AttentionShape& shape,
                            std::span<const float> result_gradient, Attention& attention,
                            kernels::MatrixProducts& products, AttentionGradients& gradients) {
  assert(heads.tokens == tokens_ && heads.positions == tokens_ && shape.first_position == 0);
  place(result_gradient);
  std::ranges::fill(gradients.keys, 0.0f);
  std::ranges::fill(gradients.values, 0.0f);
  for (const auto& block : attention_blocks(heads, shape, group_)) {
    for (std::size_t kv_head = 0; kv_head < kv_heads_; ++kv_head)
      run_block(heads, shape, block, kv_head, attention, products, gradients);
  }
}

void AttentionBackward::place(std::span<const float> result_gradient) {
  const std::size_t heads = kv_heads_ * group_;
  for (std::size_t t = 0; t < tokens_; ++t) {
    for (std::size_t head = 0; head < heads; ++head) {
      result_gradients_.store((head / group_ * tokens_ + t) * group_ + head % group_,
                              result_gradient.subspan((t * heads + head) * head_size_, head_size_));
    }
  }
}

void AttentionBackward::run_block(const AttentionHeads& heads, const AttentionShape& shape,
                                  const AttentionBlock& block, std::size_t kv_head, Attention& attention,
                                  kernels::MatrixProducts& products, AttentionGradients& gradients) {
  const std::size_t rows = block.tokens * group_;
  const std::size_t keys = block.keys;
  const std::size_t first_query = (kv_head * tokens_ + block.first_token) * group_;
  const std::size_t first_key = kv_head * tokens_ + block.first_key;
  if (rounded_.rows() * rounded_.columns() < rows * keys) rounded_ = kernels::Matrix(precision_, rows, keys);
  if (score_gradients_.size() < rows * keys) score_gradients_.resize(rows * keys);
  const auto score_gradients = std::span(score_gradients_).first(rows * keys);

  const auto probabilities = attention.probabilities(heads, shape, block, kv_head, products);
  rounded_.store(0, probabilities);
  const kernels::ProductShape over_queries{.m = keys,
                                           .n = head_size_,
                                           .k = rows,
                                           .precision = precision_,
                                           .a_transposed = true,
                                           .accumulate = true};
  products.multiply(over_queries, rounded_.data(), result_gradients_.row(first_query),
                    gradients.values.data() + first_key * head_size_);
  products.multiply({.m = rows, .n = keys, .k = head_size_, .precision = precision_, .b_transposed = true},
                    result_gradients_.row(first_query), heads.values.row(first_key), score_gradients.data());
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t position = block.first_token + row / group_;
    kernels::masked_softmax_backward(
        probabilities.subspan(row * keys, keys), score_gradients.subspan(row * keys, keys), attention.scale(),
        first_visible_key(position, shape.window) - block.first_key, position + 1 - block.first_key);
  }
  rounded_.store(0, score_gradients);
  products.multiply({.m = rows, .n = head_size_, .k = keys, .precision = precision_}, rounded_.data(),
                    heads.keys.row(first_key), gradients.queries.data() + first_query * head_size_);
  products.multiply(over_queries, rounded_.data(), heads.queries.row(first_query),
                    gradients.keys.data() + first_key * head_size_);
}

}  // namespace tessera::model
