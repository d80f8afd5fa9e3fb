// Logits: the last norm and the product with the output matrix.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/forward/hidden_states.h"
#include "model/forward/layer_weights.h"
#include "model/forward/linear_products.h"

namespace tessera::model {

/// One worker's output head: its scratch memory.
class OutputHead {
 public:
  /// Config, weights and `tiled` outlive it; `tiled` as in LayerForward.
  OutputHead(const DecoderConfig& config, const OutputWeights& weights, kernels::Precision precision,
             kernels::TiledProducts* tiled = nullptr);

  /// Positions that logits() takes at once: as many as keep its result to tens of megabytes.
  std::size_t tile() const { return tile_; }

  /// Logits of positions [first, first + count) of a window, [count, vocabulary]; count <= tile(). Valid
  /// until the next call.
  std::span<float> logits(const HiddenStates& states, std::size_t window, std::size_t first,
                          std::size_t count);
  /// The same for hidden states [count, embedding] that lie elsewhere.
  std::span<float> logits(std::span<const float> hidden);

 private:
  const DecoderConfig& config_;
  const OutputWeights& weights_;
  LinearProducts products_;
  std::size_t tile_;
  std::vector<float> hidden_;  ///< [tile, e]
  std::vector<float> row_;     ///< [e]
  kernels::Matrix input_;      ///< [tile, e]
  std::vector<float> logits_;  ///< [tile, vocabulary]
};

}  // namespace tessera::model
