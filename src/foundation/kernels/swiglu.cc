#include "foundation/kernels/swiglu.h"

#include <cassert>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/swiglu.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/kernels/exp-inl.h"
#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

HWY_INLINE Vector sigmoid_lanes(Vector x) {
  const auto one = hn::Set(Tag(), 1.0f);
  return hn::Div(one, hn::Add(one, exp_lanes(hn::Neg(x))));
}

void row_swiglu(const float* gate, const float* up, float* result, std::size_t count) {
  for_each_vector(count, [&](std::size_t i, auto lanes) HWY_ATTR {
    const auto x = lanes.load(gate + i);
    lanes.store(hn::Mul(hn::Mul(x, sigmoid_lanes(x)), lanes.load(up + i)), result + i);
  });
}

void row_swiglu_backward(const float* gate, const float* up, const float* dresult, float* dgate, float* dup,
                         std::size_t count) {
  const auto one = hn::Set(Tag(), 1.0f);
  for_each_vector(count, [&](std::size_t i, auto lanes) HWY_ATTR {
    const auto x = lanes.load(gate + i);
    const auto sigmoid = sigmoid_lanes(x);
    const auto slope = hn::Mul(sigmoid, hn::MulAdd(x, hn::Sub(one, sigmoid), one));
    const auto gradient = lanes.load(dresult + i);
    const auto factor = lanes.load(up + i);
    lanes.store(hn::Mul(gradient, hn::Mul(factor, slope)), dgate + i);
    lanes.store(hn::Mul(gradient, hn::Mul(x, sigmoid)), dup + i);
  });
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(row_swiglu);
HWY_EXPORT(row_swiglu_backward);

}  // namespace

void swiglu(std::span<const float> gate, std::span<const float> up, std::span<float> result) {
  assert(gate.size() == up.size() && gate.size() == result.size());
  HWY_DYNAMIC_DISPATCH(row_swiglu)(gate.data(), up.data(), result.data(), gate.size());
}

void swiglu_backward(std::span<const float> gate, std::span<const float> up, std::span<const float> dresult,
                     std::span<float> dgate, std::span<float> dup) {
  assert(gate.size() == up.size() && gate.size() == dresult.size());
  assert(gate.size() == dgate.size() && gate.size() == dup.size() && dgate.data() != dup.data());
  HWY_DYNAMIC_DISPATCH(row_swiglu_backward)
  (gate.data(), up.data(), dresult.data(), dgate.data(), dup.data(), gate.size());
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
