#include "foundation/kernels/triangular_solve.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/triangular_solve.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// x[target] -= sum over others of coefficient(other) x[other], all rows of `width`; then times `inverse`.
template <class Coefficient>
HWY_INLINE void substitute(std::size_t target, std::size_t begin, std::size_t end, float inverse,
                           std::size_t width, const Coefficient& coefficient, float* HWY_RESTRICT x) {
  const hn::CappedTag<float, 16> tag;
  const std::size_t step = hn::Lanes(tag);
  std::size_t i = 0;
  for (; i + 4 * step <= width; i += 4 * step) {
    float* const t = x + target * width + i;
    auto a = hn::LoadU(tag, t), b = hn::LoadU(tag, t + step), c = hn::LoadU(tag, t + 2 * step),
         d = hn::LoadU(tag, t + 3 * step);
    for (std::size_t other = begin; other < end; ++other) {
      const float* const from = x + other * width + i;
      const auto factor = hn::Set(tag, coefficient(other));
      a = hn::NegMulAdd(factor, hn::LoadU(tag, from), a);
      b = hn::NegMulAdd(factor, hn::LoadU(tag, from + step), b);
      c = hn::NegMulAdd(factor, hn::LoadU(tag, from + 2 * step), c);
      d = hn::NegMulAdd(factor, hn::LoadU(tag, from + 3 * step), d);
    }
    const auto scale = hn::Set(tag, inverse);
    hn::StoreU(hn::Mul(a, scale), tag, t);
    hn::StoreU(hn::Mul(b, scale), tag, t + step);
    hn::StoreU(hn::Mul(c, scale), tag, t + 2 * step);
    hn::StoreU(hn::Mul(d, scale), tag, t + 3 * step);
  }
  for (; i < width; ++i) {
    float sum = x[target * width + i];
    for (std::size_t other = begin; other < end; ++other) sum -= coefficient(other) * x[other * width + i];
    x[target * width + i] = sum * inverse;
  }
}

void forward(const float* transposed, std::size_t size, std::size_t width, float* x) {
  for (std::size_t k = 0; k < size; ++k) {
    const float* const row = transposed + k * size;
    substitute(
        k, 0, k, 1.0f / row[k], width, [row](std::size_t j) { return row[j]; }, x);
  }
}

void backward(const float* transposed, std::size_t size, std::size_t width, float* x) {
  for (std::size_t j = size; j-- > 0;) {
    const float* const column = transposed + j;
    substitute(
        j, j + 1, size, 1.0f / column[j * size], width,
        [column, size](std::size_t k) { return column[k * size]; }, x);
  }
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {

HWY_EXPORT(forward);
HWY_EXPORT(backward);

void solve_upper(std::span<const float> transposed, std::size_t size, std::size_t width, float* x) {
  HWY_DYNAMIC_DISPATCH(forward)(transposed.data(), size, width, x);
}

void solve_transposed_upper(std::span<const float> transposed, std::size_t size, std::size_t width,
                            float* x) {
  HWY_DYNAMIC_DISPATCH(backward)(transposed.data(), size, width, x);
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
