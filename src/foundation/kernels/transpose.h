// Columns of a matrix as rows: the operands of X^T Y over many rows as the matrix units read them fastest.
#pragma once

#include <cstddef>
#include <span>

#include "foundation/kernels/matrix.h"

namespace tessera::kernels {

/// result [columns, rows] = columns from `first_column` on of the first `rows` rows of `matrix`, transposed;
/// both have the matrix's element type, and the size of `result` says how many columns.
void transpose_columns(const Matrix& matrix, std::size_t rows, std::size_t first_column,
                       std::span<std::byte> result);

}  // namespace tessera::kernels
