// How far a quantized model is from its original: tensor by tensor, and in the residual stream.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "artifacts/evaluation.h"
#include "foundation/tensor/weight_source.h"
#include "model/forward/hidden_states.h"

namespace tessera::stages {

/// Error of the weights of `quantized`'s tensor `tensor` against the tensor of the same name in `original`,
/// which has the same shape. `importance` is [matrices, columns], a row for each matrix that the tensor
/// stacks, or empty. `threads` as in parallel_for; the result does not depend on it. Throws BadFileError when
/// the original lacks the tensor or has it in another shape.
TensorError compare_tensor(const WeightSource& original, const WeightSource& quantized, std::size_t tensor,
                           std::span<const float> importance, int threads);

/// Sum over all windows, in order, of the squared difference and of the original's energy.
kernels::ErrorSums compare_states(const model::HiddenStates& original, const model::HiddenStates& quantized,
                                  int threads);

}  // namespace tessera::stages
