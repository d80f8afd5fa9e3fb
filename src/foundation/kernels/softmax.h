// Softmax of a row of attention scores in which only a range of keys is visible (causal mask, sliding
// window).
#pragma once

#include <cstddef>
#include <span>

namespace tessera::kernels {

/// scores[i] <- exp(scale * (scores[i] - max)) / sum for i in [first, last), with the maximum and the sum
/// over the same range; 0 outside of it. `scale` is positive. The whole row in place; probabilities below
/// 2^-126 of the largest are 0.
void masked_softmax(std::span<float> scores, float scale, std::size_t first, std::size_t last);

/// The gradient with respect to the scores, given that with respect to the probabilities p, which it
/// replaces: dp[i] <- scale p[i] (dp[i] - sum p dp) for i in [first, last), 0 outside.
void masked_softmax_backward(std::span<const float> probabilities, std::span<float> dp, float scale,
                             std::size_t first, std::size_t last);

}  // namespace tessera::kernels
