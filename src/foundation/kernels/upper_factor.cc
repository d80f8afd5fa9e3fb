#include "foundation/kernels/upper_factor.h"

#include <algorithm>
#include <cassert>

#include "foundation/kernels/triangular_solve.h"

// LAPACK: the Cholesky factor of a matrix stored by columns. NOLINTNEXTLINE(readability-identifier-naming)
extern "C" void spotrf_(const char* triangle, const int* size, float* matrix, const int* stride, int* info,
                        std::size_t triangle_length);

namespace tessera::kernels {

std::optional<UpperFactor> UpperFactor::of(std::vector<float> matrix, std::size_t size) {
  assert(matrix.size() == size * size);
  // With the order of rows and columns reversed, A' = L L^T. Reversing L makes it the upper factor of A, and
  // reversing all elements of an array reverses both its rows and its columns. What LAPACK stores by columns
  // is transposed by rows, which is how it is wanted: R_jk at (k, j), j <= k.
  std::ranges::reverse(matrix);
  const int n = static_cast<int>(size);
  int info = 0;
  spotrf_("L", &n, matrix.data(), &n, &info, 1);
  if (info != 0) return std::nullopt;
  std::ranges::reverse(matrix);
  return UpperFactor(matrix, size);
}

UpperFactor::UpperFactor(std::span<const float> transposed, std::size_t size) : size_(size) {
  for (std::size_t panel = 0; panel < panels(); ++panel) {
    const std::size_t first = panel * kPanelColumns, width = panel_columns(panel);
    auto& before = before_.emplace_back(Precision::f32, width, first);
    auto& within = within_.emplace_back(width * width);
    for (std::size_t k = 0; k < width; ++k) {
      const auto row = transposed.subspan((first + k) * size, size);
      if (first > 0) before.store(k, row.first(first));
      std::copy_n(row.data() + first, k + 1, within.data() + k * width);
    }
  }
}

std::size_t UpperFactor::panel_columns(std::size_t panel) const {
  return std::min(kPanelColumns, size_ - panel * kPanelColumns);
}

// X becomes Y with Y R^T = X, from the last panel to the first, then Z with Z R = Y the other way. What
// solved columns take from others is a product of matrices, added to with the sign reversed.
void UpperFactor::solve(std::span<float> x, MatrixProducts& products) const {
  assert(x.size() == size_ * kRows);
  std::vector<float> negated(x.size());
  const auto bytes = [](const float* values) { return reinterpret_cast<const std::byte*>(values); };
  const auto negate = [&](std::size_t panel) {
    const std::size_t first = panel * kPanelColumns * kRows, end = first + panel_columns(panel) * kRows;
    for (std::size_t i = first; i < end; ++i) negated[i] = -x[i];
  };
  for (std::size_t panel = panels(); panel-- > 0;) {
    const std::size_t first = panel * kPanelColumns, width = panel_columns(panel);
    solve_transposed_upper(within_[panel], width, kRows, x.data() + first * kRows);
    if (panel == 0) break;
    negate(panel);
    products.multiply({.m = first, .n = kRows, .k = width, .a_transposed = true, .accumulate = true},
                      before_[panel].data(), bytes(negated.data() + first * kRows), x.data());
  }
  for (std::size_t panel = 0; panel < panels(); ++panel) {
    const std::size_t first = panel * kPanelColumns, width = panel_columns(panel);
    if (panel > 0) {
      products.multiply({.m = width, .n = kRows, .k = first, .accumulate = true}, before_[panel].data(),
                        bytes(negated.data()), x.data() + first * kRows);
    }
    solve_upper(within_[panel], width, kRows, x.data() + first * kRows);
    negate(panel);
  }
}

}  // namespace tessera::kernels
