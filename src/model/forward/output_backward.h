// The loss and its gradient down to the last layer: next-token cross-entropy, output matrix, last norm.
//
// The loss of a window is the sum over positions t = 0 .. T-2 of -ln p(token t+1), in nats. The gradient with
// respect to the logits is p - onehot(token t+1), and 0 at the last position. The vocabulary is taken in
// chunks of rows of the output matrix, so that logits of a whole window never exist at once: a first round
// finds ln sum e^logit of every position, a second one computes each chunk's logits again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "foundation/kernels/gemm.h"
#include "foundation/kernels/log_sum_exp.h"
#include "model/forward/gradient_observer.h"
#include "model/forward/hidden_states.h"

namespace tessera::model {

/// Rows [first, first + rows) of the output matrix.
struct VocabularyChunk {
  std::size_t first = 0;
  std::size_t rows = 0;
};

/// Divides the vocabulary into chunks of at most `rows`, in order.
std::vector<VocabularyChunk> vocabulary_chunks(std::size_t vocabulary, std::size_t rows);

/// One window's way: begin, then every chunk in order, then end.
class OutputBackward {
 public:
  /// For windows of `context` tokens. Config, weights and chunks outlive it.
  OutputBackward(const DecoderConfig& config, const OutputWeights& weights, kernels::Precision precision,
                 std::size_t context, std::span<const VocabularyChunk> chunks);

  /// Reads what left the last layer and computes the loss, which it returns in nats. `tokens` is [context].
  double begin(const HiddenStates& states, std::size_t window, std::span<const std::int32_t> tokens);
  /// Adds what the chunk's logits pass back.
  void run(const VocabularyChunk& chunk);
  /// Input and output gradient of the last run's chunk, valid until the next call.
  LinearGradient linear_gradient() const { return {&input_, &logit_gradients_}; }
  /// Writes the gradient with respect to what left the last layer.
  void end(std::size_t window, HiddenStates& gradients);

 private:
  std::span<float> logits(const VocabularyChunk& chunk);
  /// Whether the position's next token is in the chunk.
  bool has_label(std::size_t position, const VocabularyChunk& chunk) const;

  const DecoderConfig& config_;
  const OutputWeights& weights_;
  kernels::Precision precision_;
  std::size_t tokens_;
  std::span<const VocabularyChunk> chunks_;
  kernels::MatrixProducts products_;
  std::vector<std::size_t> labels_;    ///< next tokens, [tokens - 1]
  std::vector<double> log_sums_;       ///< ln sum e^logit, [tokens - 1]
  std::vector<float> hidden_;          ///< [tokens, e]
  std::vector<float> input_gradient_;  ///< of the normalized hidden states, [tokens, e]
  std::vector<float> logits_;          ///< [tokens, chunk]
  kernels::Matrix input_;              ///< normalized hidden states, [tokens, e]
  kernels::Matrix logit_gradients_;    ///< [tokens, chunk]
};

}  // namespace tessera::model
