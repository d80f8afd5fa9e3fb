#include "foundation/kernels/vector_math.h"

#include <cassert>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/vector_math.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

void row_add(const float* x, float* y, std::size_t count) {
  for_each_vector(count, [&](std::size_t i, auto lanes)
                             HWY_ATTR { lanes.store(hn::Add(lanes.load(y + i), lanes.load(x + i)), y + i); });
}

void row_add_scaled(const float* x, float factor, float* y, std::size_t count) {
  for_each_vector(count, [&](std::size_t i, auto lanes) HWY_ATTR {
    const auto x_lanes = lanes.load(x + i);
    lanes.store(hn::MulAdd(hn::Set(Tag(), factor), x_lanes, lanes.load(y + i)), y + i);
  });
}

void row_square(float* x, std::size_t count) {
  for_each_vector(count, [&](std::size_t i, auto lanes) HWY_ATTR {
    const auto value = lanes.load(x + i);
    lanes.store(hn::Mul(value, value), x + i);
  });
}

float row_energy(const float* x, std::size_t count) {
  return sum_vectors(count, [&](std::size_t i, auto lanes, Vector sum) HWY_ATTR {
    const auto value = lanes.load(x + i);
    return hn::MulAdd(value, value, sum);
  });
}

float row_dot(const float* x, const float* y, std::size_t count) {
  return sum_vectors(count, [&](std::size_t i, auto lanes, Vector sum)
                                HWY_ATTR { return hn::MulAdd(lanes.load(x + i), lanes.load(y + i), sum); });
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(row_add);
HWY_EXPORT(row_square);
HWY_EXPORT(row_energy);
HWY_EXPORT(row_add_scaled);
HWY_EXPORT(row_dot);

}  // namespace

void add(std::span<const float> x, std::span<float> y) {
  assert(x.size() == y.size());
  HWY_DYNAMIC_DISPATCH(row_add)(x.data(), y.data(), x.size());
}

void square(std::span<float> x) { HWY_DYNAMIC_DISPATCH(row_square)(x.data(), x.size()); }

float energy(std::span<const float> x) { return HWY_DYNAMIC_DISPATCH(row_energy)(x.data(), x.size()); }

void add_scaled(std::span<const float> x, float factor, std::span<float> y) {
  assert(x.size() == y.size());
  HWY_DYNAMIC_DISPATCH(row_add_scaled)(x.data(), factor, y.data(), x.size());
}

float dot(std::span<const float> x, std::span<const float> y) {
  assert(x.size() == y.size());
  return HWY_DYNAMIC_DISPATCH(row_dot)(x.data(), y.data(), x.size());
}

void add_to_rows(std::span<const float> x, std::span<float> y) {
  for (std::size_t row = 0; row < y.size() / x.size(); ++row) add(x, row_of(y, row, x.size()));
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
