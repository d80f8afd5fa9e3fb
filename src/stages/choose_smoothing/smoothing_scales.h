// The factor that moves a channel's range from activations into weights (SmoothQuant, arXiv 2211.10438,
// equation 4):
//
//   s[j] = max|X_j|^alpha / max|W_j|^(1 - alpha)
//
// alpha 0 leaves activations with the weights' ranges turned over, alpha 1 gives them all one range. Where a
// range is 0 there is nothing to move: s = 1. s is kept within [kLeastScale, kGreatestScale], so that no
// weight leaves the range of 16-bit floats for the sake of one channel.
#pragma once

#include <span>
#include <vector>

namespace tessera::stages {

inline constexpr double kLeastScale = 1e-5;
inline constexpr double kGreatestScale = 1e5;

/// `input_maxima` and `weight_maxima` are [channels], not negative; `alpha` is from 0 to 1.
std::vector<double> smoothing_scales(std::span<const float> input_maxima,
                                     std::span<const float> weight_maxima, double alpha);

}  // namespace tessera::stages
