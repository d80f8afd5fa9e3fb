// Rows of float32 as signed bytes and a scale: x ~ code * scale, symmetric around zero. What a W8A8 linear
// makes of its inputs, and what it makes of the sums of their products with the codes of its weights.
//
// A token's own scale is max |x| / 127 (SmoothQuant, https://arxiv.org/abs/2211.10438, section 3: per-token
// dynamic quantization); a static scale is given. A NaN among the inputs shows in the results.
#pragma once

#include <cstdint>
#include <span>

namespace tessera::kernels {

/// max |x| / 127: 0 for zeros alone, NaN when there is a NaN.
float symmetric_scale(std::span<const float> x);

/// codes = x / scale to nearest even, clamped to [-128, 127]. Zeros where the scale is 0 or NaN.
void quantize_row(std::span<const float> x, float scale, std::span<std::int8_t> codes);

/// y = sums * input_scale * weight_scales, in this order, or y += where `accumulate`. All of equal size.
void scale_sums(std::span<const std::int32_t> sums, float input_scale, std::span<const float> weight_scales,
                bool accumulate, std::span<float> y);

}  // namespace tessera::kernels
