#include "foundation/kernels/cholesky.h"

#include <algorithm>
#include <cassert>

// LAPACK: the Cholesky factor of a matrix stored by columns.
extern "C" void spotrf_(const char* triangle, const int* size, float* matrix, const int* stride, int* info,
                        std::size_t triangle_length);

namespace tessera::kernels {

bool factor_upper(std::span<float> matrix, std::size_t size) {
  assert(matrix.size() == size * size);
  // With the order of rows and columns reversed, A' = L L^T. Reversing L makes it the upper factor of A, and
  // reversing all elements of an array reverses both its rows and its columns.
  std::ranges::reverse(matrix);
  const int n = static_cast<int>(size);
  int info = 0;
  spotrf_("U", &n, matrix.data(), &n, &info, 1);  // upper by columns is lower by rows
  if (info != 0) return false;
  std::ranges::reverse(matrix);
  // (k, j) now is R_kj, for j >= k; wanted is R_jk at (k, j) for j <= k.
  for (std::size_t k = 0; k < size; ++k) {
    for (std::size_t j = 0; j < k; ++j) matrix[k * size + j] = matrix[j * size + k];
  }
  return true;
}

}  // namespace tessera::kernels
