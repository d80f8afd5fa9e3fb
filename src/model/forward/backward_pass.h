// The backward pass of a model over calibration windows, layer by layer from the loss to the first layer,
// holding only the hidden states between layers: each layer's activations are computed again from what
// entered it. One layer's weights are resident at a time.
//
//   BackwardPass backward(forward);
//   forward.embed();
//   for (layer = 0; layer < layers; ++layer)                 // keeps the hidden states before every layer
//     backward.run_forward_layer(forward.loader().layer(layer), layer, stop);
//   backward.run_output(forward.loader().output(), observer, stop);
//   for (layer = layers; layer-- > 0;)
//     backward.run_layer(forward.loader().layer(layer), layer, observer, stop);
//
// The loss is that of output_backward.h, summed over the positions of a window; windows do not meet. Results
// do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "model/forward/forward_pass.h"
#include "model/forward/gradient_observer.h"
#include "model/forward/layer_backward.h"
#include "model/forward/output_backward.h"

namespace tessera::model {

struct BackwardSettings {
  /// Rows of the output matrix whose logits exist at a time, for all positions of a window; a multiple of
  /// 512. Wide enough for the products to run at full speed, narrow enough to take some megabytes.
  std::size_t vocabulary_chunk = 4096;
  LabelSettings labels = {};
};

class BackwardPass {
 public:
  /// `forward` outlives it. Throws BadFileError on a mixture of experts, IoError when a scratch file is
  /// needed and cannot be made.
  explicit BackwardPass(ForwardPass& forward, const BackwardSettings& settings = {});

  /// Keeps the hidden states of the forward pass as what enters `layer`, and takes them through it. Layers
  /// come in order. All functions throw InterruptedError when `stop` asks for it; nothing here is then of
  /// further use.
  void run_forward_layer(const LayerWeights& weights, std::uint32_t layer, const StopFlag& stop,
                         const WindowsDone& done = {});
  /// For checkpoints: makes room for what enters the next layer, to be filled with the bytes of an earlier
  /// walk instead of running the layer.
  HiddenStates& restore_input();

  /// Fills gradients() with those of what left the last layer. Returns the loss of each window in nats.
  std::vector<double> run_output(const OutputWeights& weights, GradientObserver& observer,
                                 const StopFlag& stop, const WindowsDone& done = {});

  /// Takes gradients() back through the layer: those of what left it become those of what entered it. Layers
  /// come from the last to the first; a layer's hidden states are given up.
  void run_layer(const LayerWeights& weights, std::uint32_t layer, GradientObserver& observer,
                 const StopFlag& stop, const WindowsDone& done = {});

  /// With respect to the hidden states at the boundary that the walk has come to.
  const HiddenStates& gradients() const { return gradients_; }
  /// For checkpoints: with the bytes of an earlier walk that had come down to `layer`, and the inputs of the
  /// layers below it, the walk goes on at layer - 1.
  HiddenStates& gradients() { return gradients_; }

 private:
  HiddenStates make_states();
  std::size_t slots() const;

  ForwardPass& forward_;
  BackwardSettings settings_;
  std::uint64_t memory_left_;  ///< for hidden states, before they go to scratch files
  HiddenStates gradients_;
  std::vector<HiddenStates> inputs_;  ///< by layer: what enters it
  std::vector<LayerBackward> workers_;
};

}  // namespace tessera::model
