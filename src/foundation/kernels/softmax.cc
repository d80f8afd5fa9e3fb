#include "foundation/kernels/softmax.h"

#include <algorithm>
#include <cassert>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/softmax.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/kernels/exp-inl.h"
#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

/// e to this power, 2^-100, is nothing beside the largest term, which is 1, and stays a normal number when it
/// is divided by the sum: subnormal probabilities would slow down the products that follow.
constexpr float kNegligibleExponent = -69.3f;

/// scores <- exp(scale (scores - maximum)); returns their sum.
float row_exponentials(float* scores, float scale, float maximum, std::size_t count) {
  const auto scales = hn::Set(Tag(), scale);
  const auto maxima = hn::Set(Tag(), maximum);
  return sum_vectors(count, [&](std::size_t i, auto lanes, Vector sum) HWY_ATTR {
    const auto exponent = hn::Mul(scales, hn::Sub(lanes.load(scores + i, kLowest), maxima));
    const auto value = exp_lanes(exponent, kNegligibleExponent);
    lanes.store(value, scores + i);
    return hn::Add(sum, value);
  });
}

void row_multiply(float* values, float factor, std::size_t count) {
  const auto factors = hn::Set(Tag(), factor);
  for_each_vector(count, [&](std::size_t i, auto lanes)
                             HWY_ATTR { lanes.store(hn::Mul(factors, lanes.load(values + i)), values + i); });
}

void row_softmax(float* scores, float scale, std::size_t count) {
  const float sum = row_exponentials(scores, scale, largest_value(scores, count), count);
  row_multiply(scores, 1.0f / sum, count);
}

void row_softmax_backward(const float* probabilities, float* dp, float scale, std::size_t count) {
  const float mean = sum_vectors(count, [&](std::size_t i, auto lanes, Vector sum) HWY_ATTR {
    return hn::MulAdd(lanes.load(probabilities + i), lanes.load(dp + i), sum);
  });
  const auto scales = hn::Set(Tag(), scale);
  const auto means = hn::Set(Tag(), mean);
  for_each_vector(count, [&](std::size_t i, auto lanes) HWY_ATTR {
    const auto weight = hn::Mul(scales, lanes.load(probabilities + i));
    lanes.store(hn::Mul(weight, hn::Sub(lanes.load(dp + i), means)), dp + i);
  });
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(row_softmax);
HWY_EXPORT(row_softmax_backward);

void clear_outside(std::span<float> row, std::size_t first, std::size_t last) {
  std::fill_n(row.begin(), first, 0.0f);
  std::fill(row.begin() + static_cast<std::ptrdiff_t>(last), row.end(), 0.0f);
}

}  // namespace

void masked_softmax(std::span<float> scores, float scale, std::size_t first, std::size_t last) {
  assert(first <= last && last <= scores.size());
  clear_outside(scores, first, last);
  if (first < last) HWY_DYNAMIC_DISPATCH(row_softmax)(scores.data() + first, scale, last - first);
}

void masked_softmax_backward(std::span<const float> probabilities, std::span<float> dp, float scale,
                             std::size_t first, std::size_t last) {
  assert(probabilities.size() == dp.size() && first <= last && last <= dp.size());
  clear_outside(dp, first, last);
  HWY_DYNAMIC_DISPATCH(row_softmax_backward)
  (probabilities.data() + first, dp.data() + first, scale, last - first);
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
