// The upper triangular factor of a symmetric positive definite matrix, through LAPACK.
#pragma once

#include <cstddef>
#include <span>

namespace tessera::kernels {

/// Replaces the symmetric matrix A [size, size], row-major, by the transpose of the upper triangular R with
/// A = R R^T: element (k, j), j <= k, becomes R_jk, elements with j > k are undefined. False when A is not
/// positive definite in float32; its content is then undefined.
bool factor_upper(std::span<float> matrix, std::size_t size);

}  // namespace tessera::kernels
