#include "foundation/kernels/rms_norm.h"

#include <cassert>
#include <cmath>
#include <cstddef>

#include "foundation/kernels/vector_math.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/rms_norm.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

/// sum over the row of x weight dy.
float row_weighted_product(const float* x, const float* weight, const float* dy, std::size_t count) {
  return sum_vectors(count, [&](std::size_t i, auto lanes, Vector sum) HWY_ATTR {
    return hn::MulAdd(hn::Mul(lanes.load(weight + i), lanes.load(dy + i)), lanes.load(x + i), sum);
  });
}

/// y = scale x weight.
void row_scale(const float* x, const float* weight, float scale, float* y, std::size_t count) {
  const auto scales = hn::Set(Tag(), scale);
  for_each_vector(count, [&](std::size_t i, auto lanes) HWY_ATTR {
    lanes.store(hn::Mul(hn::Mul(lanes.load(x + i), scales), lanes.load(weight + i)), y + i);
  });
}

/// dx += scale weight dy - along x.
void row_scale_backward(const float* x, const float* weight, const float* dy, float scale, float along,
                        float* dx, std::size_t count) {
  const auto scales = hn::Set(Tag(), scale);
  const auto alongs = hn::Set(Tag(), along);
  for_each_vector(count, [&](std::size_t i, auto lanes) HWY_ATTR {
    const auto across = hn::Mul(lanes.load(weight + i), lanes.load(dy + i));
    const auto gradient = hn::NegMulAdd(alongs, lanes.load(x + i), hn::Mul(scales, across));
    lanes.store(hn::Add(lanes.load(dx + i), gradient), dx + i);
  });
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(row_weighted_product);
HWY_EXPORT(row_scale);
HWY_EXPORT(row_scale_backward);

/// 1 / sqrt(mean(x^2) + epsilon).
float inverse_magnitude(std::span<const float> x, float epsilon) {
  return 1.0f / std::sqrt(energy(x) / static_cast<float>(x.size()) + epsilon);
}

}  // namespace

void rms_norm(std::span<const float> x, std::span<const float> weight, float epsilon, std::span<float> y) {
  assert(x.size() == weight.size() && x.size() == y.size());
  const float scale = inverse_magnitude(x, epsilon);
  HWY_DYNAMIC_DISPATCH(row_scale)(x.data(), weight.data(), scale, y.data(), x.size());
}

void rms_norm_backward(std::span<const float> x, std::span<const float> weight, float epsilon,
                       std::span<const float> dy, std::span<float> dx) {
  assert(x.size() == weight.size() && x.size() == dy.size() && x.size() == dx.size());
  const float scale = inverse_magnitude(x, epsilon);
  const float product =
      HWY_DYNAMIC_DISPATCH(row_weighted_product)(x.data(), weight.data(), dy.data(), x.size());
  const float along = scale * scale * scale * (product / static_cast<float>(x.size()));
  HWY_DYNAMIC_DISPATCH(row_scale_backward)
  (x.data(), weight.data(), dy.data(), scale, along, dx.data(), x.size());
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
