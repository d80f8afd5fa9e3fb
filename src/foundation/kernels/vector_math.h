// Plain sums over rows of float32.
#pragma once

#include <span>

namespace tessera::kernels {

/// y += x, of equal size: residual connections, biases.
void add(std::span<const float> x, std::span<float> y);

}  // namespace tessera::kernels
