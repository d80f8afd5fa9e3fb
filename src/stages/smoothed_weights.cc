#include "stages/smoothed_weights.h"

#include <algorithm>
#include <cassert>

#include "foundation/kernels/vector_math.h"
#include "model/architecture/tensor_name.h"

namespace tessera::stages {

SmoothedWeights::SmoothedWeights(const WeightSource& base, const SmoothingPlan& plan,
                                 std::span<const model::FoldRule> rules, const model::HeadShape& heads)
    : ChangedWeights(base), factors_(base.tensors().size()) {
  for (const SmoothedFold& fold : plan.folds) {
    if (!fold.alpha) continue;
    const auto rule = std::ranges::find(rules, fold.fold, &model::FoldRule::name);
    assert(rule != rules.end());
    add_carrier(rule->carrier, fold);
    if (!rule->carrier_bias.empty()) add_carrier(rule->carrier_bias, fold);
    for (const auto reader : rule->readers) {
      if (!reader.empty()) add_reader(reader, fold, *rule, heads);
    }
  }
  for (std::size_t i = 0; i < factors_.size(); ++i) {
    if (factors_[i].any()) announce_change(i);
  }
}

void SmoothedWeights::add_carrier(std::string_view pattern, const SmoothedFold& fold) {
  const auto tensor = find(model::with_indices(pattern, {.layer = fold.layer}));
  if (!tensor) return;  // a bias that this model does not have
  auto& factors = factors_[*tensor];
  auto& inverse = tensors()[*tensor].shape.size() == 1 ? factors.columns : factors.rows;
  for (const double scale : fold.scales) inverse.push_back(static_cast<float>(1 / scale));
}

void SmoothedWeights::add_reader(std::string_view pattern, const SmoothedFold& fold,
                                 const model::FoldRule& rule, const model::HeadShape& heads) {
  const auto tensor = find(model::with_indices(pattern, {.layer = fold.layer}));
  assert(tensor);
  for (std::uint64_t c = 0; c < tensors()[*tensor].columns(); ++c) {
    factors_[*tensor].columns.push_back(
        static_cast<float>(fold.scales[carrier_channel(rule.channels, heads, c)]));
  }
}

void SmoothedWeights::change(std::size_t tensor, RowRange rows, std::span<float> weights) const {
  const Factors& factors = factors_[tensor];
  const auto columns = static_cast<std::size_t>(tensors()[tensor].columns());
  for (std::size_t r = 0; r < rows.count; ++r) {
    const auto row = kernels::row_of(weights, r, columns);
    const float of_row = factors.rows.empty() ? 1 : factors.rows[rows.first + r];
    for (std::size_t c = 0; c < columns; ++c)
      row[c] *= factors.columns.empty() ? of_row : of_row * factors.columns[c];
  }
}

}  // namespace tessera::stages
