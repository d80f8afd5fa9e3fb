// What looks on while gradients pass back through linears: per window the input X [tokens, in] and the
// gradient dY [tokens, out] of the loss with respect to the output. The gradient of the weight is dY^T X.
#pragma once

#include <cstddef>
#include <span>

#include "foundation/kernels/matrix.h"
#include "model/forward/layer_weights.h"

namespace tessera::model {

/// One window.
struct LinearGradient {
  const kernels::Matrix* input = nullptr;            ///< X, [tokens, in]
  const kernels::Matrix* output_gradient = nullptr;  ///< dY, [tokens, outputs in question]
};

/// A linear, or some of its outputs, over several windows in their order.
struct LinearGradients {
  const Linear* linear = nullptr;
  std::size_t first_output = 0;  ///< the row of the weight that dY's first column belongs to
  std::span<const LinearGradient> windows;

  std::size_t outputs() const { return windows.front().output_gradient->columns(); }
};

class GradientObserver {
 public:
  virtual ~GradientObserver() = default;

  /// Called from one thread at a time, with all linears of a layer for a few windows, windows in their order.
  /// How many windows come at a time depends on the threads: what an observer makes of them must not.
  virtual void linear_gradients(std::span<const LinearGradients> linears) = 0;
};

}  // namespace tessera::model
