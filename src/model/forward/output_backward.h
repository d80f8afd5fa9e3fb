// The loss and its gradient down to the last layer: next-token cross-entropy, output matrix, last norm.
//
// The loss of a window is the sum over positions t = 0 .. T-2 of -ln p(token t+1), in nats. The gradient with
// respect to the logits is p - onehot(label), and 0 at the last position; the label is the token t+1 of the
// text or one drawn from p (LossLabels). The vocabulary is taken in
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

/// Which next tokens the gradients are about.
enum class LossLabels {
  text,  ///< those that come in the text: the second moment of the gradients is the empirical Fisher
         ///< information
  /// One per position, drawn from the model's own predictions: the second moment is the true Fisher
  /// information, half of which is the curvature of the KL divergence (Kunstner et al., arXiv 1905.12558).
  sampled,
};

struct LabelSettings {
  LossLabels labels = LossLabels::text;
  std::uint64_t seed = 0;  ///< of sampled labels
};

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
                 std::size_t context, std::span<const VocabularyChunk> chunks, const LabelSettings& labels);

  /// Reads what left the last layer and computes the loss on the text, which it returns in nats.
  /// `tokens` is [context].
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
  /// Settles the position's label when the running sum of probabilities passes its draw within this chunk.
  void draw_label(std::size_t position, std::span<const float> probabilities, const VocabularyChunk& chunk);

  const DecoderConfig& config_;
  const OutputWeights& weights_;
  kernels::Precision precision_;
  std::size_t tokens_;
  std::span<const VocabularyChunk> chunks_;
  kernels::MatrixProducts products_;
  LabelSettings label_settings_;
  std::vector<std::size_t> labels_;    ///< next tokens, [tokens - 1]; kNotDrawn where still to be drawn
  std::vector<double> draws_;          ///< sampled labels: what is left of the draw, [tokens - 1]
  std::vector<double> log_sums_;       ///< ln sum e^logit, [tokens - 1]
  std::vector<float> hidden_;          ///< [tokens, e]
  std::vector<float> input_gradient_;  ///< of the normalized hidden states, [tokens, e]
  std::vector<float> logits_;          ///< [tokens, chunk]
  kernels::Matrix input_;              ///< normalized hidden states, [tokens, e]
  kernels::Matrix logit_gradients_;    ///< [tokens, chunk]
};

}  // namespace tessera::model
