#include "foundation/kernels/bfloat16.h"

#include <cassert>
#include <cstddef>

#include "foundation/tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/bfloat16.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/kernels/bfloat16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

void row_to_bfloat16(const float* values, std::uint16_t* result, std::size_t count) {
  const Tag d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) store_bfloat16(hn::LoadU(d, values + i), result + i);
  for (; i < count; ++i) result[i] = bfloat16_from_float(values[i]);
}

void row_to_float(const std::uint16_t* values, float* result, std::size_t count) {
  const Tag d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) hn::StoreU(load_bfloat16(values + i), d, result + i);
  for (; i < count; ++i) result[i] = float_from_bfloat16(values[i]);
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(row_to_bfloat16);
HWY_EXPORT(row_to_float);

}  // namespace

void to_bfloat16(std::span<const float> values, std::span<std::uint16_t> result) {
  assert(values.size() == result.size());
  HWY_DYNAMIC_DISPATCH(row_to_bfloat16)(values.data(), result.data(), values.size());
}

void to_float(std::span<const std::uint16_t> values, std::span<float> result) {
  assert(values.size() == result.size());
  HWY_DYNAMIC_DISPATCH(row_to_float)(values.data(), result.data(), values.size());
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
