// The metric that error feedback rounds in: a Hessian H of a linear's inputs, damped and factored.
//
// H = R R^T with R upper triangular. For the errors E = W - Y of rows, ||E R||^2 = tr(E H E^T), and its part
// of the column k is (E R)_k = sum_{j <= k} E_j R_jk: what earlier columns did wrong can be repaid by column
// k as long as its own code is free. This is the form LDLQ of GPTQ (Chee et al. 2023, arXiv 2307.13304).
//
// Columns are taken in panels of kPanelColumns, so that almost all work is products of matrices.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "foundation/kernels/matrix.h"

namespace tessera::codecs {

class FeedbackMetric {
 public:
  static constexpr std::size_t kPanelColumns = 256;

  /// `hessian` is symmetric and positive semidefinite, [columns, columns], finite. `damping`, as a share of
  /// its mean diagonal, is added to the diagonal; ten times as much as long as the factorisation fails.
  FeedbackMetric(std::vector<float> hessian, std::size_t columns, double damping,
                 kernels::Precision precision);

  std::size_t columns() const { return columns_; }
  kernels::Precision precision() const { return hessian_.precision(); }
  std::size_t panels() const { return (columns_ + kPanelColumns - 1) / kPanelColumns; }
  std::size_t panel_columns(std::size_t panel) const;
  /// The damping that was used.
  double damping() const { return damping_; }

  /// Diagonal of the damped H, [columns].
  std::span<const float> diagonal() const { return diagonal_; }
  bool is_diagonal() const { return is_diagonal_; }
  /// Damped H, [columns, columns].
  const kernels::Matrix& hessian() const { return hessian_; }
  /// The rows and columns of a panel of the damped H, [panel_columns, panel_columns].
  std::span<const float> diagonal_block(std::size_t panel) const { return diagonal_blocks_[panel]; }
  /// R_jk for k in the panel and all j before it, as [k, j]: [panel_columns, panel * kPanelColumns].
  const kernels::Matrix& factor_before(std::size_t panel) const { return before_[panel]; }
  /// R_jk for k and j in the panel, as [k, j], j <= k: [panel_columns, panel_columns].
  std::span<const float> factor_within(std::size_t panel) const { return within_[panel]; }

 private:
  void store_hessian(std::span<const float> hessian, kernels::Precision precision);
  void store_factor(std::span<const float> factor, kernels::Precision precision);

  std::size_t columns_;
  double damping_;
  std::vector<float> diagonal_;
  bool is_diagonal_ = true;
  kernels::Matrix hessian_;
  std::vector<std::vector<float>> diagonal_blocks_;
  std::vector<kernels::Matrix> before_;
  std::vector<std::vector<float>> within_;
};

}  // namespace tessera::codecs
