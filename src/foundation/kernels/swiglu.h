// The gated activation of a feed-forward block (Shazeer, "GLU Variants Improve Transformer", 2020):
// silu(gate) * up with silu(x) = x s(x) and s(x) = 1 / (1 + e^-x).
#pragma once

#include <span>

namespace tessera::kernels {

/// result[i] = silu(gate[i]) * up[i]; `result` may be `gate` or `up` itself. The spans are of equal size.
void swiglu(std::span<const float> gate, std::span<const float> up, std::span<float> result);

/// The gradients with respect to gate and up, given `dresult`, that with respect to the result:
/// dgate = dresult up s (1 + gate (1 - s)), dup = dresult silu(gate). `dgate` and `dup` may each be any of
/// the inputs, but not each other. The spans are of equal size.
void swiglu_backward(std::span<const float> gate, std::span<const float> up, std::span<const float> dresult,
                     std::span<float> dgate, std::span<float> dup);

}  // namespace tessera::kernels
