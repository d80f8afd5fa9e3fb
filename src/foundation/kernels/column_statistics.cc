#include "foundation/kernels/column_statistics.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "foundation/tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/column_statistics.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/kernels/bfloat16-inl.h"
#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

/// Columns taken at a time: their running results stay in the first-level cache.
constexpr std::size_t kStripColumns = 1024;
/// Rows whose squares are added in float32.
constexpr std::size_t kFloatRows = 128;
/// Rows read side by side, so that a running result is loaded and stored once for all of them.
constexpr std::size_t kRowsAtOnce = 8;

HWY_INLINE Vector load_lanes(const float* from) { return hn::LoadU(Tag(), from); }
HWY_INLINE Vector load_lanes(const std::uint16_t* from) { return load_bfloat16(from); }
inline float load_one(const float* from) { return *from; }
inline float load_one(const std::uint16_t* from) { return float_from_bfloat16(*from); }

struct AddSquare {
  HWY_INLINE Vector operator()(Vector sum, Vector value) const { return hn::MulAdd(value, value, sum); }
  float operator()(float sum, float value) const { return sum + value * value; }
};

/// The larger magnitude by its bits, which order NaN above infinity. Running maxima are not negative.
struct LargerMagnitude {
  HWY_INLINE Vector operator()(Vector largest, Vector value) const {
    const Tag d;
    const hn::RebindToUnsigned<Tag> bits;
    return hn::BitCast(d, hn::Max(hn::BitCast(bits, largest), hn::BitCast(bits, hn::Abs(value))));
  }
  float operator()(float largest, float value) const {
    const auto bits = std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFFu;
    return std::bit_cast<float>(std::max(std::bit_cast<std::uint32_t>(largest), bits));
  }
};

/// running[c] = step(running[c], x[row, c]) for `rows` rows in their order.
template <class T, class Step>
HWY_INLINE void run_rows(const T* x, std::size_t stride, std::size_t rows, std::size_t count, float* running,
                         const Step& step) {
  const Tag d;
  std::size_t c = 0;
  for (; c + hn::Lanes(d) <= count; c += hn::Lanes(d)) {
    auto result = hn::LoadU(d, running + c);
    for (std::size_t row = 0; row < rows; ++row) result = step(result, load_lanes(x + row * stride + c));
    hn::StoreU(result, d, running + c);
  }
  for (; c < count; ++c) {
    for (std::size_t row = 0; row < rows; ++row)
      running[c] = step(running[c], load_one(x + row * stride + c));
  }
}

/// run_rows for any number of rows, the most of them by a loop whose length the compiler knows.
template <class T, class Step>
HWY_INLINE void run_all_rows(const T* x, std::size_t stride, std::size_t rows, std::size_t count,
                             float* running, const Step& step) {
  std::size_t row = 0;
  for (; row + kRowsAtOnce <= rows; row += kRowsAtOnce)
    run_rows(x + row * stride, stride, kRowsAtOnce, count, running, step);
  run_rows(x + row * stride, stride, rows - row, count, running, step);
}

template <class T>
void add_squares(const T* x, std::size_t rows, std::size_t columns, double* sums) {
  for (std::size_t first = 0; first < columns; first += kStripColumns) {
    const std::size_t count = std::min(kStripColumns, columns - first);
    for (std::size_t row = 0; row < rows; row += kFloatRows) {
      float strip[kStripColumns] = {};
      run_all_rows(x + row * columns + first, columns, std::min(kFloatRows, rows - row), count, strip,
                   AddSquare());
      for (std::size_t c = 0; c < count; ++c) sums[first + c] += double{strip[c]};
    }
  }
}

template <class T>
void max_magnitudes(const T* x, std::size_t rows, std::size_t columns, float* maxima) {
  for (std::size_t first = 0; first < columns; first += kStripColumns) {
    const std::size_t count = std::min(kStripColumns, columns - first);
    run_all_rows(x + first, columns, rows, count, maxima + first, LargerMagnitude());
  }
}

void add_float_squares(const float* x, std::size_t rows, std::size_t columns, double* sums) {
  add_squares(x, rows, columns, sums);
}
void add_bfloat16_squares(const std::uint16_t* x, std::size_t rows, std::size_t columns, double* sums) {
  add_squares(x, rows, columns, sums);
}
void max_float_magnitudes(const float* x, std::size_t rows, std::size_t columns, float* maxima) {
  max_magnitudes(x, rows, columns, maxima);
}
void max_bfloat16_magnitudes(const std::uint16_t* x, std::size_t rows, std::size_t columns, float* maxima) {
  max_magnitudes(x, rows, columns, maxima);
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(add_float_squares);
HWY_EXPORT(add_bfloat16_squares);
HWY_EXPORT(max_float_magnitudes);
HWY_EXPORT(max_bfloat16_magnitudes);

std::size_t count_rows([[maybe_unused]] std::size_t results, std::size_t values, std::size_t columns) {
  assert(columns > 0 && results == columns && values % columns == 0);
  return values / columns;
}

}  // namespace

void add_column_squares(std::span<const float> x, std::size_t columns, std::span<double> sums) {
  const std::size_t rows = count_rows(sums.size(), x.size(), columns);
  HWY_DYNAMIC_DISPATCH(add_float_squares)(x.data(), rows, columns, sums.data());
}

void add_column_squares(std::span<const std::uint16_t> x, std::size_t columns, std::span<double> sums) {
  const std::size_t rows = count_rows(sums.size(), x.size(), columns);
  HWY_DYNAMIC_DISPATCH(add_bfloat16_squares)(x.data(), rows, columns, sums.data());
}

void max_column_magnitudes(std::span<const float> x, std::size_t columns, std::span<float> maxima) {
  const std::size_t rows = count_rows(maxima.size(), x.size(), columns);
  HWY_DYNAMIC_DISPATCH(max_float_magnitudes)(x.data(), rows, columns, maxima.data());
}

void max_column_magnitudes(std::span<const std::uint16_t> x, std::size_t columns, std::span<float> maxima) {
  const std::size_t rows = count_rows(maxima.size(), x.size(), columns);
  HWY_DYNAMIC_DISPATCH(max_bfloat16_magnitudes)(x.data(), rows, columns, maxima.data());
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
