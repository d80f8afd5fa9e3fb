// Root-mean-square normalisation of a row (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019):
// y_i = w_i x_i / sqrt(mean(x^2) + epsilon).
#pragma once

#include <span>

namespace tessera::kernels {

/// One row; `y` may be `x` itself. The spans are of equal size. Sums in float32 lanes.
void rms_norm(std::span<const float> x, std::span<const float> weight, float epsilon, std::span<float> y);

/// dx += the gradient with respect to x, given `dy`, the gradient with respect to y. With g = w dy and
/// r = 1 / sqrt(mean(x^2) + epsilon): dx_i += r g_i - x_i r^3 mean(g x). The spans are of equal size.
void rms_norm_backward(std::span<const float> x, std::span<const float> weight, float epsilon,
                       std::span<const float> dy, std::span<float> dx);

}  // namespace tessera::kernels
