#include "model/forward/attention.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "foundation/kernels/softmax.h"

namespace tessera::model {
namespace {

/// Query tokens of a block: few enough for its scores to stay in the level-2 cache, and for little work to be
/// wasted above the diagonal.
constexpr std::size_t kMostBlockTokens = 128;
constexpr std::size_t kLeastBlockTokens = 16;
constexpr std::size_t kBlockScores = 256 * 1024;
/// A window has at most this many different numbers of keys per block.
constexpr std::size_t kMostSteps = 16;

std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

/// The `heads` blocks of `positions` rows each, now with room for `more_positions`.
kernels::Matrix spread(const kernels::Matrix& rows, std::size_t heads, std::size_t positions,
                       std::size_t more_positions) {
  kernels::Matrix result(rows.precision(), heads * more_positions, rows.columns());
  for (std::size_t head = 0; head < heads; ++head) {
    std::memcpy(result.row(head * more_positions), rows.row(head * positions), rows.bytes() / heads);
  }
  return result;
}

}  // namespace

AttentionHeads::AttentionHeads(const DecoderConfig& config, kernels::Precision precision,
                               std::size_t query_tokens, std::size_t key_positions)
    : tokens(query_tokens),
      positions(key_positions),
      queries(precision, config.heads * query_tokens, config.head_size),
      keys(precision, config.kv_heads * key_positions, config.head_size),
      values(precision, config.kv_heads * key_positions, config.head_size) {}

void AttentionHeads::set_query_tokens(std::size_t query_tokens) {
  if (query_tokens == tokens) return;
  queries = kernels::Matrix(queries.precision(), queries.rows() / tokens * query_tokens, queries.columns());
  tokens = query_tokens;
}

void AttentionHeads::grow(std::size_t key_positions) {
  assert(key_positions >= positions);
  const std::size_t heads = keys.rows() / positions;
  keys = spread(keys, heads, positions, key_positions);
  values = spread(values, heads, positions, key_positions);
  positions = key_positions;
}

std::size_t first_visible_key(std::size_t position, std::uint32_t window) {
  return window == 0 || position < window ? 0 : position + 1 - window;
}

std::vector<AttentionBlock> attention_blocks(const AttentionHeads& heads, const AttentionShape& shape,
                                             std::size_t group) {
  const std::size_t block =
      std::clamp(kBlockScores / (group * heads.positions), kLeastBlockTokens, kMostBlockTokens);
  const std::size_t step = std::max(block, round_up(heads.positions / kMostSteps, kLeastBlockTokens));
  std::vector<AttentionBlock> blocks;
  for (std::size_t token = 0; token < heads.tokens; token += block) {
    const std::size_t count = std::min(block, heads.tokens - token);
    const std::size_t position = shape.first_position + token;
    const std::size_t first_key = first_visible_key(position, shape.window) / step * step;
    const std::size_t end = std::min(round_up(position + count, step), heads.positions);
    blocks.push_back({token, count, first_key, end - first_key});
  }
  return blocks;
}

Attention::Attention(const DecoderConfig& config, kernels::Precision precision)
    : group_(config.group()),
      kv_heads_(config.kv_heads),
      head_size_(config.head_size),
      scale_(1.0f / std::sqrt(static_cast<float>(config.head_size))),
      precision_(precision) {}

std::span<float> Attention::probabilities(const AttentionHeads& heads, const AttentionShape& shape,
                                          const AttentionBlock& block, std::size_t kv_head,
                                          kernels::MatrixProducts& products) {
  const std::size_t rows = block.tokens * group_;
  if (scores_.size() < rows * block.keys) scores_.resize(rows * block.keys);
  products.multiply(
      {.m = rows, .n = block.keys, .k = head_size_, .precision = precision_, .b_transposed = true},
      heads.queries.row((kv_head * heads.tokens + block.first_token) * group_),
      heads.keys.row(kv_head * heads.positions + block.first_key), scores_.data());
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t position = shape.first_position + block.first_token + row / group_;
    const std::size_t first = first_visible_key(position, shape.window) - block.first_key;
    kernels::masked_softmax(std::span(scores_).subspan(row * block.keys, block.keys), scale_, first,
                            position + 1 - block.first_key);
  }
  return std::span(scores_).first(rows * block.keys);
}

void Attention::run(const AttentionHeads& heads, const AttentionShape& shape,
                    kernels::MatrixProducts& products, kernels::Matrix& result) {
  for (const auto& block : attention_blocks(heads, shape, group_)) {
    const std::size_t rows = block.tokens * group_;
    if (rounded_.rows() * rounded_.columns() < rows * block.keys) {
      rounded_ = kernels::Matrix(precision_, rows, block.keys);
    }
    mixed_.resize(rows * head_size_);
    for (std::size_t kv_head = 0; kv_head < kv_heads_; ++kv_head) {
      rounded_.store(0, probabilities(heads, shape, block, kv_head, products));
      products.multiply({.m = rows, .n = head_size_, .k = block.keys, .precision = precision_},
                        rounded_.data(), heads.values.row(kv_head * heads.positions + block.first_key),
                        mixed_.data());
      for (std::size_t row = 0; row < rows; ++row) {
        const std::size_t head = kv_head * group_ + row % group_;
        result.store(shape.first_row + block.first_token + row / group_, head * head_size_,
                     std::span(mixed_).subspan(row * head_size_, head_size_));
      }
    }
  }
}

}  // namespace tessera::model
