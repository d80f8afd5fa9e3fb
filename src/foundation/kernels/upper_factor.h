// The upper triangular factor R of a symmetric positive definite matrix A = R R^T, and what is solved with
// it.
//
// Factored by panels of kPanelColumns columns from the last to the first, as dense pieces that products of
// matrices take as they are: Eigen factors the piece on the diagonal, the pieces before it are solved for,
// and what they explain is subtracted from all pieces before them (right-looking Cholesky; Golub and Van
// Loan, Matrix Computations, 4.2.6). A piece is work of one thread, in an order of additions that the size
// alone decides: the factor has the same bits for any number of threads.
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

  /// Of a symmetric matrix [size, size], on `threads` threads (0: all cores). Empty when it is not positive
  /// definite in float32. Memory: half of the matrix again, and the factor.
  static std::optional<UpperFactor> of(std::span<const float> matrix, std::size_t size, int threads = 0);

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
  class Pieces;

  explicit UpperFactor(std::size_t size) : size_(size) {}

  std::size_t size_;
  std::vector<Matrix> before_;
  std::vector<std::vector<float>> within_;
};

}  // namespace tessera::kernels
