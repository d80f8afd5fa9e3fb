// What an importance matrix needs of a linear's input x [rows, columns]: per column the sum of squares and
// the largest magnitude.
//
// Squares are added in float32 over at most 128 rows at a time and from there in float64, so that a sum is
// within 128 * 2^-24 = 7.6e-6 of the exact one, relatively, whatever the number of rows (magnitudes up to
// 2^60 stay finite). Only the order of rows decides the result, never the columns beside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera::kernels {

/// sums[c] += sum over rows of x[row, c]^2. `x` is [rows, columns], float32 or bfloat16; `sums` is [columns].
void add_column_squares(std::span<const float> x, std::size_t columns, std::span<double> sums);
void add_column_squares(std::span<const std::uint16_t> x, std::size_t columns, std::span<double> sums);

/// maxima[c] = the largest of maxima[c] and |x[row, c]| over all rows. `x` is [rows, columns], float32 or
/// bfloat16; `maxima` is [columns] and not negative. A NaN counts as larger than infinity, and so stays.
void max_column_magnitudes(std::span<const float> x, std::size_t columns, std::span<float> maxima);
void max_column_magnitudes(std::span<const std::uint16_t> x, std::size_t columns, std::span<float> maxima);

/// sums[c] += sum over rows of row_weights[row] x[row, c]^2. `x` is [rows, columns], `row_weights` [rows] and
/// not negative, `sums` [columns].
void add_weighted_column_squares(std::span<const float> x, std::span<const float> row_weights,
                                 std::span<double> sums);

/// sums[c] += sum over rows of |x[row, c] y[row, c]|. `x` and `y` are [rows, columns], `sums` is [columns].
void add_column_product_magnitudes(std::span<const float> x, std::span<const float> y,
                                   std::span<double> sums);

}  // namespace tessera::kernels
