// A model with its smoothing folded in: mathematically the model it stands before.
//
// Rows of carriers are divided and columns of readers multiplied as they are read, so nothing is held but the
// factors. What changes appears as F32. A weight of a value projection is both: reader of one fold, carrier
// of the next.
#pragma once

#include <vector>

#include "artifacts/smoothing_plan.h"
#include "foundation/tensor/weight_source.h"
#include "model/architecture/smoothing_fold.h"

namespace tessera::stages {

class SmoothedWeights final : public WeightSource {
 public:
  /// `base` outlives it; its architecture has `rules`.
  SmoothedWeights(const WeightSource& base, const SmoothingPlan& plan, std::span<const model::FoldRule> rules,
                  const model::HeadShape& heads);

  const std::string& name() const override { return base_.name(); }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override;
  void discard(std::size_t tensor, RowRange rows) const override { base_.discard(tensor, rows); }
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return base_.find(tensor_name);
  }

 private:
  /// Of one tensor; empty: all are 1. A vector has its factors in `columns`.
  struct Factors {
    std::vector<float> rows;
    std::vector<float> columns;
    bool any() const { return !rows.empty() || !columns.empty(); }
  };

  void add_carrier(std::string_view pattern, const SmoothedFold& fold);
  void add_reader(std::string_view pattern, const SmoothedFold& fold, const model::FoldRule& rule,
                  const model::HeadShape& heads);

  const WeightSource& base_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<Factors> factors_;  ///< by tensor
};

}  // namespace tessera::stages
