// Substitution with a small triangular matrix, for many right-hand sides side by side.
#pragma once

#include <cstddef>
#include <span>

namespace tessera::kernels {

/// `transposed` is R^T of an upper triangular R [size, size]: R_jk at (k, j), j <= k. Columns of X, [size]
/// [width] with `width` right-hand sides, become those of Z with Z R = X: z_k = (x_k - sum_{j < k} z_j R_jk)
/// / R_kk.
void solve_upper(std::span<const float> transposed, std::size_t size, std::size_t width, float* x);

/// The same for Z R^T = X: z_j = (x_j - sum_{k > j} z_k R_jk) / R_jj.
void solve_transposed_upper(std::span<const float> transposed, std::size_t size, std::size_t width, float* x);

}  // namespace tessera::kernels
