// Importance as Fisher information: F_ij = sum over all tokens t of dY_ti^2 X_tj^2, the diagonal of the
// empirical Fisher information (Kunstner et al., arXiv 1905.12558) with each token's term taken for itself.
// Summed over the rows i of the weight it is one number per column, as an importance matrix has it:
// sum_t |dY_t|^2 X_tj^2; summed over its columns it is one number per row: sum_t dY_ti^2 |X_t|^2. F itself,
// one number per weight, is formed on request as the product of squared matrices (dY^2)^T X^2. The sum over
// all columns is the tensor's sensitivity.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "model/forward/gradient_blocks.h"
#include "model/forward/hidden_states.h"

namespace tessera::model {

/// What is kept of F.
enum class FisherDetail {
  columns,    ///< its column sums
  marginals,  ///< its row sums as well
  weights,    ///< its column sums and F itself, 4 bytes per weight until it is taken
};

/// Sums over all tokens.
struct FisherSums {
  std::vector<double> columns;  ///< [in]
  std::vector<double> rows;     ///< [out]; empty unless marginals are kept

  bool operator==(const FisherSums&) const = default;
};

class FisherImportance : public GradientObserver {
 public:
  FisherImportance(const GradientStatisticsSettings& settings, FisherDetail detail);
  ~FisherImportance() override;

  void linear_gradients(std::span<const LinearGradients> linears) override;

  /// Of the tensor as numbered in the WeightSource; forgets them. Divide by the number of tokens. Empty when
  /// the tensor was not seen.
  FisherSums take(std::size_t tensor);
  /// F, [out, in]; forgets it. Empty when the tensor was not seen or only columns are kept.
  std::vector<float> take_weights(std::size_t tensor);

 private:
  struct Worker;
  void add_sums(std::span<const LinearGradients> linears);
  void add_weights(std::span<const LinearGradients> linears);

  GradientStatisticsSettings settings_;
  FisherDetail detail_;
  std::vector<Worker> workers_;
  std::map<std::size_t, FisherSums> sums_;             ///< by tensor
  std::map<std::size_t, std::vector<float>> weights_;  ///< by tensor, F
};

/// Of the token embedding, whose rows tokens pick: dE_t, the gradient with respect to what a token picked, is
/// one with respect to that row. columns[j] = sum over t of dE_tj^2, rows[v] = sum over the t whose token is
/// v of |dE_t|^2. `gradients` are those at the boundary before the first layer; `tokens` is [windows,
/// context].
FisherSums embedding_fisher(const HiddenStates& gradients, std::span<const std::int32_t> tokens,
                            std::size_t vocabulary);

}  // namespace tessera::model
