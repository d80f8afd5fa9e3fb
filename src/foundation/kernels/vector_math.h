// Plain sums and squares of rows of float32.
#pragma once

#include <span>

namespace tessera::kernels {

/// y += x, of equal size: residual connections, biases.
void add(std::span<const float> x, std::span<float> y);

/// x <- x^2.
void square(std::span<float> x);

/// sum x^2, added in float32 lanes.
float energy(std::span<const float> x);

}  // namespace tessera::kernels
