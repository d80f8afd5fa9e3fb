// Importance as gradient times weight: the mean over windows n of |G_n W|, with G_n = dY_n^T X_n the gradient
// of the window's loss with respect to the weight. It is the first-order effect of a relative change of each
// weight, here summed over the rows of the weight: one number per column, as an importance matrix has it. The
// sum over the columns is the tensor's sensitivity.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "model/forward/gradient_blocks.h"

namespace tessera::model {

class GradientImportance : public GradientObserver {
 public:
  explicit GradientImportance(const GradientStatisticsSettings& settings);
  ~GradientImportance() override;

  void linear_gradients(std::span<const LinearGradients> linears) override;

  /// Sum over windows and rows of |G W|, [in], of the tensor as numbered in the WeightSource; forgets it.
  /// Divide by the number of windows. Empty when the tensor was not seen.
  std::vector<double> take(std::size_t tensor);

 private:
  struct Worker;
  /// Of each block of rows of a weight, [in]. Blocks never meet, so neither their order nor the threads
  /// matter.
  using BlockSums = std::vector<std::vector<double>>;

  GradientStatisticsSettings settings_;
  std::vector<Worker> workers_;
  std::map<std::size_t, BlockSums> sums_;
};

}  // namespace tessera::model
