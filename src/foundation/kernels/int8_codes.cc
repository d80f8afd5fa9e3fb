#include "foundation/kernels/int8_codes.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/int8_codes.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

/// The largest bits of a magnitude: those of a NaN, of infinity and of finite values compare in this order.
std::uint32_t largest_magnitude(const float* x, std::size_t count) {
  const hn::RebindToUnsigned<Tag> bits;
  const auto magnitude = hn::Set(bits, 0x7FFFFFFFu);
  auto largest = hn::Zero(bits);
  for_each_vector(count, [&](std::size_t i, auto lanes) HWY_ATTR {
    largest = hn::Max(largest, hn::And(hn::BitCast(bits, lanes.load(x + i)), magnitude));
  });
  return hn::GetLane(hn::MaxOfLanes(bits, largest));
}

void row_codes(const float* x, float scale, std::int8_t* codes, std::size_t count) {
  const Tag d;
  const hn::Rebind<std::int8_t, Tag> bytes;
  const auto scales = hn::Set(d, scale);
  const auto least = hn::Set(d, -128.0f);
  const auto most = hn::Set(d, 127.0f);
  const auto codes_of = [&](Vector values) HWY_ATTR {
    const auto clamped = hn::Min(hn::Max(hn::Div(values, scales), least), most);
    return hn::DemoteTo(bytes, hn::NearestInt(clamped));
  };
  const std::size_t width = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + width <= count; i += width) hn::StoreU(codes_of(hn::LoadU(d, x + i)), bytes, codes + i);
  if (i == count) return;
  HWY_ALIGN std::int8_t rest[hn::MaxLanes(d)];
  hn::StoreU(codes_of(PartOfVector{count - i}.load(x + i)), bytes, rest);
  std::copy_n(rest, count - i, codes + i);
}

void row_scale_sums(const std::int32_t* sums, float input_scale, const float* weight_scales, bool accumulate,
                    float* y, std::size_t count) {
  const Tag d;
  const hn::RebindToSigned<Tag> integers;
  const auto input_scales = hn::Set(d, input_scale);
  const std::size_t width = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + width <= count; i += width) {
    const auto sum = hn::ConvertTo(d, hn::LoadU(integers, sums + i));
    const auto value = hn::Mul(hn::Mul(sum, input_scales), hn::LoadU(d, weight_scales + i));
    hn::StoreU(accumulate ? hn::Add(hn::LoadU(d, y + i), value) : value, d, y + i);
  }
  for (; i < count; ++i) {
    const float value = static_cast<float>(sums[i]) * input_scale * weight_scales[i];
    y[i] = accumulate ? y[i] + value : value;
  }
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(largest_magnitude);
HWY_EXPORT(row_codes);
HWY_EXPORT(row_scale_sums);

}  // namespace

float symmetric_scale(std::span<const float> x) {
  return std::bit_cast<float>(HWY_DYNAMIC_DISPATCH(largest_magnitude)(x.data(), x.size())) / 127.0f;
}

void quantize_row(std::span<const float> x, float scale, std::span<std::int8_t> codes) {
  assert(x.size() == codes.size());
  if (!(scale > 0)) {
    std::ranges::fill(codes, std::int8_t{0});
  } else {
    HWY_DYNAMIC_DISPATCH(row_codes)(x.data(), scale, codes.data(), x.size());
  }
}

void scale_sums(std::span<const std::int32_t> sums, float input_scale, std::span<const float> weight_scales,
                bool accumulate, std::span<float> y) {
  assert(sums.size() == y.size() && weight_scales.size() == y.size());
  HWY_DYNAMIC_DISPATCH(row_scale_sums)
  (sums.data(), input_scale, weight_scales.data(), accumulate, y.data(), y.size());
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
