// A model with its smoothing folded in: mathematically the model it stands before.
//
// Rows of carriers are divided and columns of readers multiplied. A weight of a value projection is both:
// reader of one fold, carrier of the next.
#pragma once

#include <vector>

#include "artifacts/smoothing_plan.h"
#include "foundation/codecs/changed_weights.h"
#include "model/architecture/smoothing_fold.h"

namespace tessera::stages {

class SmoothedWeights final : public codecs::ChangedWeights {
 public:
  /// `base` outlives it; its architecture has `rules`.
  SmoothedWeights(const WeightSource& base, const SmoothingPlan& plan, std::span<const model::FoldRule> rules,
                  const model::HeadShape& heads);

 private:
  /// Of one tensor; empty: all are 1. A vector has its factors in `columns`.
  struct Factors {
    std::vector<float> rows;
    std::vector<float> columns;
    bool any() const { return !rows.empty() || !columns.empty(); }
  };

  void change(std::size_t tensor, RowRange rows, std::span<float> weights) const override;
  void add_carrier(std::string_view pattern, const SmoothedFold& fold);
  void add_reader(std::string_view pattern, const SmoothedFold& fold, const model::FoldRule& rule,
                  const model::HeadShape& heads);

  std::vector<Factors> factors_;  ///< by tensor
};

}  // namespace tessera::stages
