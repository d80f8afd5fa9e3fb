// Softmax over a vocabulary too large to hold at once: the logarithm of the sum of exponentials, part by
// part, and from it the probabilities of any part.
#pragma once

#include <limits>
#include <span>

namespace tessera::kernels {

/// ln sum e^x over all values added, without overflow.
class LogSumExp {
 public:
  /// Adds within the call in float32 lanes, across calls in float64.
  void add(std::span<const float> values);

  /// Minus infinity when nothing was added.
  double value() const;

 private:
  float maximum_ = -std::numeric_limits<float>::infinity();
  double sum_ = 0;  ///< of e^(x - maximum)
};

/// values <- e^(values - log_sum): probabilities, given the logarithm of the sum over the whole vocabulary.
void to_probabilities(std::span<float> values, float log_sum);

}  // namespace tessera::kernels
