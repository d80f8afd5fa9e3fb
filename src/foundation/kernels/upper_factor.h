// The upper triangular factor R of a symmetric positive definite matrix A = R R^T, and what is solved with
// it.
//
// LAPACK factors; the factor is then kept in panels of kPanelColumns columns, dense pieces that products of
// matrices take as they are.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "foundation/kernels/gemm.h"
#include "foundation/kernels/matrix.h"

namespace tessera::kernels {

class UpperFactor {
 public:
  static constexpr std::size_t kPanelColumns = 256;
  /// Right-hand sides that `solve` takes together.
  static constexpr std::size_t kRows = 128;

  /// Of a symmetric matrix [size, size], row-major. Empty when it is not positive definite in float32.
  static std::optional<UpperFactor> of(std::vector<float> matrix, std::size_t size);

  std::size_t size() const { return size_; }
  std::size_t panels() const { return (size_ + kPanelColumns - 1) / kPanelColumns; }
  std::size_t panel_columns(std::size_t panel) const;
  /// R_jk for k in the panel and all j before it, as [k, j]: [panel_columns, panel * kPanelColumns], float32.
  const Matrix& before(std::size_t panel) const { return before_[panel]; }
  /// R_jk for k and j in the panel, as [k, j], 0 for j > k: [panel_columns, panel_columns].
  std::span<const float> within(std::size_t panel) const { return within_[panel]; }

  /// Replaces kRows rows X by X A^-1. They lie transposed, [size][kRows]. On one thread.
  void solve(std::span<float> x, MatrixProducts& products) const;

 private:
  explicit UpperFactor(std::span<const float> transposed, std::size_t size);

  std::size_t size_;
  std::vector<Matrix> before_;
  std::vector<std::vector<float>> within_;
};

}  // namespace tessera::kernels
