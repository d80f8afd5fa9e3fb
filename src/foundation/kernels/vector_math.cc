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

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(row_add);

}  // namespace

void add(std::span<const float> x, std::span<float> y) {
  assert(x.size() == y.size());
  HWY_DYNAMIC_DISPATCH(row_add)(x.data(), y.data(), x.size());
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
