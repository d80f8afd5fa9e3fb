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

#include "foundation/codecs/damped_factor.h"
#include "foundation/kernels/matrix.h"

namespace tessera::codecs {

struct FeedbackMetricSettings {
  double damping = 0.02;  ///< >= 0, a share of the mean diagonal that is added to the diagonal
  kernels::Precision precision = kernels::Precision::f32;  ///< of products with H and R
  int threads = 0;                                         ///< to factor on; 0: all cores
};

class FeedbackMetric {
 public:
  static constexpr std::size_t kPanelColumns = kernels::UpperFactor::kPanelColumns;

  /// `hessian` [columns, columns] is damped and factored as factor_damped does it, with what that throws.
  FeedbackMetric(std::vector<float> hessian, std::size_t columns, const FeedbackMetricSettings& settings);

  std::size_t columns() const { return columns_; }
  kernels::Precision precision() const { return hessian_.precision(); }
  std::size_t panels() const { return factor().panels(); }
  std::size_t panel_columns(std::size_t panel) const { return factor().panel_columns(panel); }
  /// The share of the mean diagonal that was used.
  double damping() const { return factor_.damping; }
  /// What it came to, added to every element of the diagonal.
  double added_to_diagonal() const { return factor_.added; }

  /// Diagonal of the damped H, [columns].
  std::span<const float> diagonal() const { return diagonal_; }
  bool is_diagonal() const { return is_diagonal_; }
  /// Damped H, [columns, columns].
  const kernels::Matrix& hessian() const { return hessian_; }
  /// The rows and columns of a panel of the damped H, [panel_columns, panel_columns].
  std::span<const float> diagonal_block(std::size_t panel) const { return diagonal_blocks_[panel]; }
  /// R, in float32.
  const kernels::UpperFactor& factor() const { return factor_.factor; }
  /// factor().before(panel) in the metric's precision.
  const kernels::Matrix& factor_before(std::size_t panel) const {
    return before_.empty() ? factor().before(panel) : before_[panel];
  }

 private:
  void store_hessian(std::span<const float> hessian, kernels::Precision precision);

  std::size_t columns_;
  DampedFactor factor_;
  std::vector<float> diagonal_;
  bool is_diagonal_ = true;
  kernels::Matrix hessian_;
  std::vector<std::vector<float>> diagonal_blocks_;
  std::vector<kernels::Matrix> before_;  ///< empty where the precision is float32
};

}  // namespace tessera::codecs
