// The gradient of one layer (layer_forward.h) for one window: activations are computed again from the hidden
// states that entered the layer, then, from the gradient dh of what left it,
//
//   d(silu(gate) up) = dh Wdown                          dm = dgate Wgate + dup Wup
//   dh <- dh + gradient of rms_norm at h' for dm         h' = h + Wo attended
//   d(attended) = dh Wo                                  dn = dq Wq + dk Wk + dv Wv
//   dh <- dh + gradient of rms_norm at h for dn
//
// where dq and dk went back through rotary embedding and head norms. Precisions as in the forward pass: the
// gradient of each linear's output is rounded to that of the products, everything else is float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/forward/attention_backward.h"
#include "model/forward/gradient_observer.h"
#include "model/forward/layer_forward.h"

namespace tessera::model {

/// One window's scratch memory: about 4 bytes for each of the 10 e + 5 q + 5 k + 5 f activations and
/// gradients of every token (names as in LayerWeights).
class LayerBackward {
 public:
  /// For windows of `context` tokens. Config and table outlive it.
  LayerBackward(const DecoderConfig& config, const kernels::RopeTable& rope, kernels::Precision precision,
                std::size_t context);

  /// Replaces the window's gradient with respect to what left the layer by that with respect to `inputs`,
  /// what entered it. Inputs and output gradients of the linears stay here until the next call.
  void run(const LayerWeights& weights, std::uint32_t layer, std::size_t window, const HiddenStates& inputs,
           HiddenStates& gradients);

  /// The layer's linears, in the order of linear_gradients().
  static std::vector<const Linear*> linears(const LayerWeights& weights);
  std::vector<LinearGradient> linear_gradients() const;

 private:
  void recompute(const LayerWeights& weights, std::uint32_t layer);
  void feed_forward(const LayerWeights& weights);
  void attention(const LayerWeights& weights, std::uint32_t layer);
  /// Query or key heads from rotated rows to rows of `result`, [tokens, heads * head_size].
  void unplace(std::span<const float> rows, std::span<const float> values, std::span<const float> norm,
               std::size_t heads, std::size_t group, kernels::Matrix& result);
  void unplace_values();
  /// input_gradient (+)= output_gradient W.
  void apply_back(const Linear& linear, const kernels::Matrix& output_gradient, bool accumulate,
                  std::span<float> input_gradient);
  void normalize_back(std::span<const float> norm, std::span<const float> gradient);

  const DecoderConfig& config_;
  const kernels::RopeTable& rope_;
  kernels::Precision precision_;
  std::size_t tokens_;
  LayerForward steps_;
  TileActivations window_;
  AttentionHeads heads_;
  kernels::Matrix attended_;  ///< [tokens, q]

  std::vector<float> hidden_gradient_;      ///< dh, [tokens, e]
  std::vector<float> normalized_gradient_;  ///< dm or dn, [tokens, e]
  std::vector<float> inner_gradient_;       ///< of ffn_activation [tokens, f], then of attended [tokens, q]
  std::vector<float> row_;                  ///< [head_size]
  AttentionBackward attention_backward_;
  AttentionGradients head_gradients_;

  // Gradients of the linears' outputs.
  kernels::Matrix query_;             ///< [tokens, q]
  kernels::Matrix key_;               ///< [tokens, k]
  kernels::Matrix value_;             ///< [tokens, k]
  kernels::Matrix attention_output_;  ///< [tokens, e]
  kernels::Matrix gate_;              ///< [tokens, f]
  kernels::Matrix up_;                ///< [tokens, f]
  kernels::Matrix down_;              ///< [tokens, e]
};

}  // namespace tessera::model
