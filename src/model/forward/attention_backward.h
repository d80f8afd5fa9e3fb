// The gradient of attention (attention.h) over one window. With P the probabilities and dO the gradient of
// the result, for each block of queries and each key/value head:
//
//   dV += P^T dO     dP = dO V^T     dS = P (dP - sum_keys P dP) / sqrt(head_size)     dQ = dS K     dK +=
//   dS^T Q
//
// P is computed again, block by block; nothing of the size tokens x keys is kept.
#pragma once

#include <cstddef>
#include <vector>

#include "model/forward/attention.h"

namespace tessera::model {

/// With respect to rotated queries, keys and values, in float32 and in the rows of AttentionHeads.
struct AttentionGradients {
  AttentionGradients(const DecoderConfig& config, std::size_t tokens);

  std::vector<float> queries;  ///< [heads * tokens, head_size]
  std::vector<float> keys;     ///< [kv_heads * tokens, head_size]
  std::vector<float> values;   ///< [kv_heads * tokens, head_size]
};

/// One worker's scratch memory.
class AttentionBackward {
 public:
  /// For windows of `tokens` tokens.
  AttentionBackward(const DecoderConfig& config, kernels::Precision precision, std::size_t tokens);

  /// `result_gradient` is [tokens, query_width] float32. `heads` hold one whole window.
  void run(const AttentionHeads& heads, const AttentionShape& shape, std::span<const float> result_gradient,
           Attention& attention, kernels::MatrixProducts& products, AttentionGradients& gradients);

 private:
  void place(std::span<const float> result_gradient);
  void run_block(const AttentionHeads& heads, const AttentionShape& shape, const AttentionBlock& block,
                 std::size_t kv_head, Attention& attention, kernels::MatrixProducts& products,
                 AttentionGradients& gradients);

  std::size_t tokens_;
  std::size_t group_;
  std::size_t kv_heads_;
  std::size_t head_size_;
  kernels::Precision precision_;
  kernels::Matrix result_gradients_;    ///< dO in the rows of the queries
  std::vector<float> score_gradients_;  ///< dP, then dS: [block's queries, keys]
  kernels::Matrix rounded_;             ///< P, then dS, as the products take them
};

}  // namespace tessera::model
