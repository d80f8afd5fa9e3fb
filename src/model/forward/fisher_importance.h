// Importance as Fisher information: F_ij = sum over all tokens t of dY_ti^2 X_tj^2, the diagonal of the
// empirical Fisher information (Kunstner et al., arXiv 1905.12558) with each token's term taken for itself.
// Summed over the rows i of the weight it is one number per column, as an importance matrix has it:
// sum_t |dY_t|^2 X_tj^2. F itself, one number per weight, is formed on request as the product of squared
// matrices (dY^2)^T X^2. The sum over all columns is the tensor's sensitivity.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "model/forward/gradient_blocks.h"

namespace tessera::model {

/// What is kept of F.
enum class FisherDetail {
  columns,  ///< its column sums
  weights,  ///< F as well, 4 bytes per weight until it is taken
};

class FisherImportance : public GradientObserver {
 public:
  FisherImportance(const GradientStatisticsSettings& settings, FisherDetail detail);
  ~FisherImportance() override;

  void linear_gradients(std::span<const LinearGradients> linears) override;

  /// Sum over tokens and rows, [in], of the tensor as numbered in the WeightSource; forgets it. Divide by the
  /// number of tokens. Empty when the tensor was not seen.
  std::vector<double> take(std::size_t tensor);
  /// F, [out, in]; forgets it. Empty when the tensor was not seen or only columns are kept.
  std::vector<float> take_weights(std::size_t tensor);

 private:
  struct Worker;
  void add_columns(std::span<const LinearGradients> linears);
  void add_weights(std::span<const LinearGradients> linears);

  GradientStatisticsSettings settings_;
  FisherDetail detail_;
  std::vector<Worker> workers_;
  std::map<std::size_t, std::vector<double>> sums_;    ///< by tensor, [in]
  std::map<std::size_t, std::vector<float>> weights_;  ///< by tensor, F
};

}  // namespace tessera::model
