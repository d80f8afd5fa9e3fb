// Logits: the last norm and the product with the output matrix.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "foundation/kernels/gemm.h"
#include "model/forward/hidden_states.h"
#include "model/forward/layer_weights.h"

namespace tessera::model {

/// One worker's output head: its scratch memory.
class OutputHead {
 public:
  /// Config and weights outlive it.
  OutputHead(const DecoderConfig& config, const OutputWeights& weights, kernels::Precision precision);

  /// Positions that logits() takes at once: as many as keep its result to tens of megabytes.
  std::size_t tile() const { return tile_; }

  /// Logits of positions [first, first + count) of a window, [count, vocabulary]; count <= tile(). Valid
  /// until the next call.
  std::span<float> logits(const HiddenStates& states, std::size_t window, std::size_t first,
                          std::size_t count);
  /// The same for hidden states [count, embedding] that lie elsewhere.
  std::span<float> logits(std::span<const float> hidden);

  /// The rows that the last call multiplied, [count, embedding]: the input of the output matrix.
  const kernels::Matrix& input() const { return input_; }

 private:
  const DecoderConfig& config_;
  const OutputWeights& weights_;
  kernels::Precision precision_;
  std::size_t tile_;
  kernels::MatrixProducts products_;
  std::vector<float> hidden_;  ///< [tile, e]
  std::vector<float> row_;     ///< [e]
  kernels::Matrix input_;      ///< [tile, e]
  std::vector<float> logits_;  ///< [tile, vocabulary]
};

}  // namespace tessera::model
