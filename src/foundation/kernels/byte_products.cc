#include "foundation/kernels/byte_products.h"

#include <cassert>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/byte_products.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR  // has one lane, and so no pairs

/// sums[j] = a . b_j for kRows rows b_j that follow each other in steps of k.
template <std::size_t kRows>
void row_products(const std::int8_t* a, const std::int8_t* b, std::size_t k, std::int32_t* sums) {
  for (std::size_t j = 0; j < kRows; ++j) {
    sums[j] = 0;
    for (std::size_t i = 0; i < k; ++i) sums[j] += a[i] * b[j * k + i];
  }
}

#else

using Sums = hn::ScalableTag<std::int32_t>;
using Words = hn::Repartition<std::int16_t, Sums>;

/// The same. Bytes widen to 16 bits, whose
/// products are added in pairs to 32 bits: nothing can saturate.
template <std::size_t kRows>
HWY_INLINE void row_products(const std::int8_t* a, const std::int8_t* b, std::size_t k, std::int32_t* sums) {
  const Sums d;
  const Words words;
  const hn::Rebind<std::int8_t, Words> bytes;
  const auto load = [&](const std::int8_t* from)
                        HWY_ATTR { return hn::PromoteTo(words, hn::LoadU(bytes, from)); };
  decltype(hn::Zero(d)) sum[kRows];
  for (auto& each : sum) each = hn::Zero(d);
  const std::size_t width = hn::Lanes(words);
  std::size_t i = 0;
  for (; i + width <= k; i += width) {
    const auto x = load(a + i);
    for (std::size_t j = 0; j < kRows; ++j) {
      auto second = hn::Zero(d);
      sum[j] = hn::ReorderWidenMulAccumulate(d, x, load(b + j * k + i), sum[j], second);
      sum[j] = hn::Add(sum[j], second);
    }
  }
  for (std::size_t j = 0; j < kRows; ++j) {
    sums[j] = hn::GetLane(hn::SumOfLanes(d, sum[j]));
    for (std::size_t rest = i; rest < k; ++rest) sums[j] += a[rest] * b[j * k + rest];
  }
}

#endif

void multiply_rows(const std::int8_t* a, std::size_t m, const std::int8_t* b, std::size_t n, std::size_t k,
                   std::int32_t* c) {
  constexpr std::size_t kAtOnce = 4;
  for (std::size_t row = 0; row < m; ++row) {
    std::size_t column = 0;
    for (; column + kAtOnce <= n; column += kAtOnce) {
      row_products<kAtOnce>(a + row * k, b + column * k, k, c + row * n + column);
    }
    for (; column < n; ++column) row_products<1>(a + row * k, b + column * k, k, c + row * n + column);
  }
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(multiply_rows);

}  // namespace

void multiply_bytes(std::span<const std::int8_t> a, std::span<const std::int8_t> b, std::size_t k,
                    std::span<std::int32_t> c) {
  assert(k > 0 && a.size() % k == 0 && b.size() % k == 0 && c.size() == a.size() / k * (b.size() / k));
  HWY_DYNAMIC_DISPATCH(multiply_rows)(a.data(), a.size() / k, b.data(), b.size() / k, k, c.data());
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
