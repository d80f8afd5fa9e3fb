// Causal attention with grouped queries (Ainslie et al., arXiv 2305.13245) over one window, or over the keys
// and values that a sequence has gathered so far:
//
//   result[t, h] = sum over keys s of softmax_s(q[t, h] . k[s] / sqrt(head_size)) v[s],  s <= position of t
//
// Query heads that share a key/value head are stacked, so that one matrix product serves the whole group.
// Queries are taken in blocks; a block meets only the keys that some query of it can see, rounded to whole
// steps so that few shapes occur.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "foundation/kernels/gemm.h"
#include "foundation/kernels/matrix.h"
#include "model/forward/decoder_config.h"

namespace tessera::model {

/// Queries, keys and values of a window, rotated. Query row of token t and head g of key/value head k:
/// (k * tokens + t) * group + g; key and value row of position s: k * positions + s. All [.., head_size].
struct AttentionHeads {
  AttentionHeads(const DecoderConfig& config, kernels::Precision precision, std::size_t query_tokens,
                 std::size_t key_positions);

  /// Makes room for another number of queries; those held are lost.
  void set_query_tokens(std::size_t query_tokens);
  /// Makes room for more positions; keys and values stay.
  void grow(std::size_t key_positions);

  std::size_t tokens;     ///< queries
  std::size_t positions;  ///< keys; the last `tokens` of the first `first_position + tokens` are the queries'
  kernels::Matrix queries;
  kernels::Matrix keys;
  kernels::Matrix values;
};

struct AttentionShape {
  std::size_t first_position = 0;  ///< of the first query among the keys
  std::uint32_t window = 0;        ///< tokens that a query sees, itself included; 0: all before it
  std::size_t first_row = 0;       ///< of the first query in the result
};

/// A range of query tokens and the keys they meet.
struct AttentionBlock {
  std::size_t first_token = 0;
  std::size_t tokens = 0;
  std::size_t first_key = 0;
  std::size_t keys = 0;
};

/// The keys that the query at `position` sees: [first, position].
std::size_t first_visible_key(std::size_t position, std::uint32_t window);

/// Divides the queries into blocks, in order.
std::vector<AttentionBlock> attention_blocks(const AttentionHeads& heads, const AttentionShape& shape,
                                             std::size_t group);

/// One worker's attention: its scratch memory.
class Attention {
 public:
  Attention(const DecoderConfig& config, kernels::Precision precision);

  /// Writes heads.tokens rows of `result`, [.., query_width].
  void run(const AttentionHeads& heads, const AttentionShape& shape, kernels::MatrixProducts& products,
           kernels::Matrix& result);

  /// Probabilities of one block and key/value head in float32, [tokens * group, keys]: the inner step of run,
  /// which the backward pass repeats. Valid until the next call.
  std::span<float> probabilities(const AttentionHeads& heads, const AttentionShape& shape,
                                 const AttentionBlock& block, std::size_t kv_head,
                                 kernels::MatrixProducts& products);

  /// What scores are multiplied by: 1 / sqrt(head_size).
  float scale() const { return scale_; }

 private:
  std::size_t group_;
  std::size_t kv_heads_;
  std::size_t head_size_;
  float scale_;
  kernels::Precision precision_;
  std::vector<float> scores_;
  std::vector<float> mixed_;
  kernels::Matrix rounded_;
};

}  // namespace tessera::model
