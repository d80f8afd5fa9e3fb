#include "foundation/kernels/column_statistics.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>

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
/// Rows whose terms are added in float32.
constexpr std::size_t kFloatRows = 128;
/// Rows read side by side, so that a running result is loaded and stored once for all of them.
constexpr std::size_t kRowsAtOnce = 8;

HWY_INLINE Vector load_lanes(const float* from) { return hn::LoadU(Tag(), from); }
HWY_INLINE Vector load_lanes(const std::uint16_t* from) { return load_bfloat16(from); }
inline float load_one(const float* from) { return *from; }
inline float load_one(const std::uint16_t* from) { return float_from_bfloat16(*from); }

// What each statistic does with the element at `place` of row `row`: to a vector of running results, or to
// one.

template <class T>
struct AddSquare {
  const T* x;

  HWY_INLINE Vector step(Vector sum, std::size_t /*row*/, std::size_t place) const {
    const auto value = load_lanes(x + place);
    return hn::MulAdd(value, value, sum);
  }
  float step(float sum, std::size_t /*row*/, std::size_t place) const {
    const float value = load_one(x + place);
    return sum + value * value;
  }
};

struct AddWeightedSquare {
  const float* x;
  const float* row_weights;

  HWY_INLINE Vector step(Vector sum, std::size_t row, std::size_t place) const {
    const auto value = load_lanes(x + place);
    return hn::MulAdd(hn::Mul(hn::Set(Tag(), row_weights[row]), value), value, sum);
  }
  float step(float sum, std::size_t row, std::size_t place) const {
    return sum + row_weights[row] * x[place] * x[place];
  }
};

struct AddProductMagnitude {
  const float* x;
  const float* y;

  HWY_INLINE Vector step(Vector sum, std::size_t /*row*/, std::size_t place) const {
    return hn::Add(sum, hn::Abs(hn::Mul(load_lanes(x + place), load_lanes(y + place))));
  }
  float step(float sum, std::size_t /*row*/, std::size_t place) const {
    return sum + std::fabs(x[place] * y[place]);
  }
};

/// The larger magnitude by its bits, which order NaN above infinity. Running maxima are not negative.
template <class T>
struct LargerMagnitude {
  const T* x;

  HWY_INLINE Vector step(Vector largest, std::size_t /*row*/, std::size_t place) const {
    const Tag d;
    const hn::RebindToUnsigned<Tag> bits;
    const auto magnitude = hn::BitCast(bits, hn::Abs(load_lanes(x + place)));
    return hn::BitCast(d, hn::Max(hn::BitCast(bits, largest), magnitude));
  }
  float step(float largest, std::size_t /*row*/, std::size_t place) const {
    const auto magnitude = std::bit_cast<std::uint32_t>(load_one(x + place)) & 0x7FFFFFFFu;
    return std::bit_cast<float>(std::max(std::bit_cast<std::uint32_t>(largest), magnitude));
  }
};

/// Part of a matrix with `stride` columns.
struct Part {
  std::size_t first_row;
  std::size_t rows;
  std::size_t first_column;
  std::size_t columns;
  std::size_t stride;
};

/// Takes the rows in their order; `running` is [part.columns]. Inlined with a known number of rows, the inner
/// loop is unrolled.
template <class Statistic>
HWY_INLINE void run_rows(const Statistic& statistic, const Part& part, std::size_t rows, float* running) {
  const Tag d;
  const std::size_t first = part.first_row * part.stride + part.first_column;
  std::size_t c = 0;
  for (; c + hn::Lanes(d) <= part.columns; c += hn::Lanes(d)) {
    auto result = hn::LoadU(d, running + c);
    for (std::size_t row = 0; row < rows; ++row)
      result = statistic.step(result, part.first_row + row, first + row * part.stride + c);
    hn::StoreU(result, d, running + c);
  }
  for (; c < part.columns; ++c) {
    for (std::size_t row = 0; row < rows; ++row)
      running[c] = statistic.step(running[c], part.first_row + row, first + row * part.stride + c);
  }
}

template <class Statistic>
HWY_INLINE void run_part(const Statistic& statistic, Part part, float* running) {
  for (; part.rows >= kRowsAtOnce; part.rows -= kRowsAtOnce, part.first_row += kRowsAtOnce)
    run_rows(statistic, part, kRowsAtOnce, running);
  run_rows(statistic, part, part.rows, running);
}

template <class Statistic>
HWY_INLINE void add_terms(const Statistic& statistic, std::size_t rows, std::size_t columns, double* sums) {
  for (std::size_t first = 0; first < columns; first += kStripColumns) {
    const std::size_t count = std::min(kStripColumns, columns - first);
    for (std::size_t row = 0; row < rows; row += kFloatRows) {
      float strip[kStripColumns] = {};
      run_part(statistic, {row, std::min(kFloatRows, rows - row), first, count, columns}, strip);
      for (std::size_t c = 0; c < count; ++c) sums[first + c] += double{strip[c]};
    }
  }
}

template <class Statistic>
HWY_INLINE void find_maxima(const Statistic& statistic, std::size_t rows, std::size_t columns,
                            float* maxima) {
  for (std::size_t first = 0; first < columns; first += kStripColumns)
    run_part(statistic, {0, rows, first, std::min(kStripColumns, columns - first), columns}, maxima + first);
}

void add_float_squares(const float* x, std::size_t rows, std::size_t columns, double* sums) {
  add_terms(AddSquare<float>{x}, rows, columns, sums);
}
void add_bfloat16_squares(const std::uint16_t* x, std::size_t rows, std::size_t columns, double* sums) {
  add_terms(AddSquare<std::uint16_t>{x}, rows, columns, sums);
}
void add_weighted_squares(const float* x, const float* row_weights, std::size_t rows, std::size_t columns,
                          double* sums) {
  add_terms(AddWeightedSquare{x, row_weights}, rows, columns, sums);
}
void add_product_magnitudes(const float* x, const float* y, std::size_t rows, std::size_t columns,
                            double* sums) {
  add_terms(AddProductMagnitude{x, y}, rows, columns, sums);
}
void max_float_magnitudes(const float* x, std::size_t rows, std::size_t columns, float* maxima) {
  find_maxima(LargerMagnitude<float>{x}, rows, columns, maxima);
}
void max_bfloat16_magnitudes(const std::uint16_t* x, std::size_t rows, std::size_t columns, float* maxima) {
  find_maxima(LargerMagnitude<std::uint16_t>{x}, rows, columns, maxima);
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(add_float_squares);
HWY_EXPORT(add_bfloat16_squares);
HWY_EXPORT(add_weighted_squares);
HWY_EXPORT(add_product_magnitudes);
HWY_EXPORT(max_float_magnitudes);
HWY_EXPORT(max_bfloat16_magnitudes);

std::size_t count_rows(std::size_t values, std::size_t columns) {
  assert(columns > 0 && values % columns == 0);
  return values / columns;
}

}  // namespace

void add_column_squares(std::span<const float> x, std::size_t columns, std::span<double> sums) {
  assert(sums.size() == columns);
  HWY_DYNAMIC_DISPATCH(add_float_squares)(x.data(), count_rows(x.size(), columns), columns, sums.data());
}

void add_column_squares(std::span<const std::uint16_t> x, std::size_t columns, std::span<double> sums) {
  assert(sums.size() == columns);
  HWY_DYNAMIC_DISPATCH(add_bfloat16_squares)(x.data(), count_rows(x.size(), columns), columns, sums.data());
}

void max_column_magnitudes(std::span<const float> x, std::size_t columns, std::span<float> maxima) {
  assert(maxima.size() == columns);
  HWY_DYNAMIC_DISPATCH(max_float_magnitudes)
  (x.data(), count_rows(x.size(), columns), columns, maxima.data());
}

void max_column_magnitudes(std::span<const std::uint16_t> x, std::size_t columns, std::span<float> maxima) {
  assert(maxima.size() == columns);
  HWY_DYNAMIC_DISPATCH(max_bfloat16_magnitudes)
  (x.data(), count_rows(x.size(), columns), columns, maxima.data());
}

void add_weighted_column_squares(std::span<const float> x, std::span<const float> row_weights,
                                 std::span<double> sums) {
  const std::size_t rows = count_rows(x.size(), sums.size());
  assert(rows == row_weights.size());
  HWY_DYNAMIC_DISPATCH(add_weighted_squares)
  (x.data(), row_weights.data(), rows, sums.size(), sums.data());
}

void add_column_product_magnitudes(std::span<const float> x, std::span<const float> y,
                                   std::span<double> sums) {
  assert(x.size() == y.size());
  HWY_DYNAMIC_DISPATCH(add_product_magnitudes)
  (x.data(), y.data(), count_rows(x.size(), sums.size()), sums.size(), sums.data());
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
