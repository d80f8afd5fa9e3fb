// Plain sums and squares of rows of float32.
#pragma once

#include <cstddef>
#include <span>

namespace tessera::kernels {

/// Row `row` of a matrix with `columns` columns whose elements lie in `values`.
template <class T>
std::span<T> row_of(std::span<T> values, std::size_t row, std::size_t columns) {
  return values.subspan(row * columns, columns);
}

/// y += x, of equal size: residual connections.
void add(std::span<const float> x, std::span<float> y);

/// y [rows, x.size()] += x in every row: biases.
void add_to_rows(std::span<const float> x, std::span<float> y);

/// y += factor x, of equal size.
void add_scaled(std::span<const float> x, float factor, std::span<float> y);

/// x <- x^2.
void square(std::span<float> x);

/// sum x^2, added in float32 lanes.
float energy(std::span<const float> x);

/// sum x y, of equal size, added in float32 lanes.
float dot(std::span<const float> x, std::span<const float> y);

}  // namespace tessera::kernels
