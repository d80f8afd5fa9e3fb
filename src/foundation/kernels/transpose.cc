#include "foundation/kernels/transpose.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/transpose.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// A [rows, columns] matrix and where its transpose goes; steps are elements between rows.
template <class T>
struct Transposition {
  const T* source;
  std::size_t source_step;
  std::size_t rows;
  std::size_t columns;
  T* result;
  std::size_t result_step;
};

template <class T>
void transpose_single(const Transposition<T>& all, std::size_t row, std::size_t column) {
  all.result[column * all.result_step + row] = all.source[row * all.source_step + column];
}

#if HWY_TARGET == HWY_SCALAR

/// Elements of a side of the squares that transpose_square takes.
template <class T>
constexpr std::size_t kSide = 1;

template <class T>
void transpose_square(const Transposition<T>& all, std::size_t row, std::size_t column) {
  transpose_single(all, row, column);
}

#else

/// Of a row of the square is one 16-byte vector.
template <class T>
constexpr std::size_t kSide = 16 / sizeof(T);

/// Interleaving row i with row i + n/2 shuffles the square perfectly; log2 n rounds of it transpose it.
template <class T>
void transpose_square(const Transposition<T>& all, std::size_t row, std::size_t column) {
  const hn::Full128<T> d;
  std::array<hn::Vec<decltype(d)>, kSide<T> > now, next;
  for (std::size_t i = 0; i < kSide<T>; ++i)
    now[i] = hn::LoadU(d, all.source + (row + i) * all.source_step + column);
  for (std::size_t round = 1; round < kSide<T>; round *= 2) {
    for (std::size_t i = 0; i < kSide<T> / 2; ++i) {
      next[2 * i] = hn::InterleaveLower(d, now[i], now[i + kSide<T> / 2]);
      next[2 * i + 1] = hn::InterleaveUpper(d, now[i], now[i + kSide<T> / 2]);
    }
    now = next;
  }
  for (std::size_t i = 0; i < kSide<T>; ++i)
    hn::StoreU(now[i], d, all.result + (column + i) * all.result_step + row);
}

#endif  // HWY_TARGET == HWY_SCALAR

/// A block whose sides are at most a cache line long: lines are read and written whole.
template <class T>
void transpose_block(const Transposition<T>& all, std::size_t first_row, std::size_t end_row,
                     std::size_t first_column, std::size_t end_column) {
  std::size_t column = first_column;
  for (; column + kSide<T> <= end_column; column += kSide<T>) {
    std::size_t row = first_row;
    for (; row + kSide<T> <= end_row; row += kSide<T>) transpose_square(all, row, column);
    for (; row < end_row; ++row) {
      for (std::size_t i = 0; i < kSide<T>; ++i) transpose_single(all, row, column + i);
    }
  }
  for (; column < end_column; ++column) {
    for (std::size_t row = first_row; row < end_row; ++row) transpose_single(all, row, column);
  }
}

template <class T>
void transpose_all(const Transposition<T>& all) {
  constexpr std::size_t kLine = 64 / sizeof(T);
  for (std::size_t column = 0; column < all.columns; column += kLine) {
    for (std::size_t row = 0; row < all.rows; row += kLine) {
      transpose_block(all, row, std::min(row + kLine, all.rows), column,
                      std::min(column + kLine, all.columns));
    }
  }
}

void transpose_words(const std::uint32_t* source, std::size_t step, std::size_t rows, std::size_t columns,
                     std::uint32_t* result) {
  transpose_all(Transposition<std::uint32_t>{source, step, rows, columns, result, rows});
}

void transpose_half_words(const std::uint16_t* source, std::size_t step, std::size_t rows,
                          std::size_t columns, std::uint16_t* result) {
  transpose_all(Transposition<std::uint16_t>{source, step, rows, columns, result, rows});
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(transpose_words);
HWY_EXPORT(transpose_half_words);

}  // namespace

void transpose_columns(const Matrix& matrix, std::size_t rows, std::size_t first_column,
                       std::span<std::byte> result) {
  if (result.empty()) return;
  const std::size_t element = element_bytes(matrix.precision());
  const std::size_t columns = result.size() / element / rows;
  assert(rows <= matrix.rows() && first_column + columns <= matrix.columns());
  assert(columns * rows * element == result.size());
  const std::byte* source = matrix.data() + first_column * element;
  if (matrix.precision() == Precision::f32) {
    HWY_DYNAMIC_DISPATCH(transpose_words)
    (reinterpret_cast<const std::uint32_t*>(source), matrix.columns(), rows, columns,
     reinterpret_cast<std::uint32_t*>(result.data()));
  } else {
    HWY_DYNAMIC_DISPATCH(transpose_half_words)
    (reinterpret_cast<const std::uint16_t*>(source), matrix.columns(), rows, columns,
     reinterpret_cast<std::uint16_t*>(result.data()));
  }
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
