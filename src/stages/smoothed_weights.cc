#include "stages/smoothed_weights.h"

#include <algorithm>
#include <cassert>

#include "foundation/codecs/decode_finite.h"
#include "foundation/kernels/vector_math.h"
#include "model/architecture/tensor_name.h"

namespace tessera::stages {
SmoothedWeights::SmoothedWeights(const WeightSource& base, const SmoothingPlan& plan,
                                 std::span<const model::FoldRule> rules, const model::HeadShape& heads)
    : base_(base), tensors_(base.tensors().begin(), base.tensors().end()), factors_(tensors_.size()) {
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
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (factors_[i].any()) tensors_[i].type = ElementType::F32;
  }
}

void SmoothedWeights::add_carrier(std::string_view pattern, const SmoothedFold& fold) {
  const auto tensor = base_.find(model::with_indices(pattern, {.layer = fold.layer}));
  if (!tensor) return;  // a bias that this model does not have
  auto& factors = factors_[*tensor];
  auto& inverse = tensors_[*tensor].shape.size() == 1 ? factors.columns : factors.rows;
  for (const double scale : fold.scales) inverse.push_back(static_cast<float>(1 / scale));
}

void SmoothedWeights::add_reader(std::string_view pattern, const SmoothedFold& fold,
                                 const model::FoldRule& rule, const model::HeadShape& heads) {
  const auto tensor = base_.find(model::with_indices(pattern, {.layer = fold.layer}));
  assert(tensor);
  for (std::uint64_t c = 0; c < tensors_[*tensor].columns(); ++c) {
    factors_[*tensor].columns.push_back(
        static_cast<float>(fold.scales[carrier_channel(rule.channels, heads, c)]));
  }
}

std::span<const std::byte> SmoothedWeights::stored_rows(std::size_t tensor, RowRange rows,
                                                        std::vector<std::byte>& scratch) const {
  const Factors& factors = factors_[tensor];
  const auto stored = base_.stored_rows(tensor, rows, scratch);
  if (!factors.any()) return stored;
  const auto columns = static_cast<std::size_t>(tensors_[tensor].columns());
  std::vector<std::byte> result(static_cast<std::size_t>(rows.count) * columns * sizeof(float));
  const std::span weights(reinterpret_cast<float*>(result.data()), result.size() / sizeof(float));
  codecs::decode_finite(base_, tensor, rows.first * columns, stored, weights);
  for (std::size_t r = 0; r < rows.count; ++r) {
    const auto row = kernels::row_of(weights, r, columns);
    const float of_row = factors.rows.empty() ? 1 : factors.rows[rows.first + r];
    for (std::size_t c = 0; c < columns; ++c)
      row[c] *= factors.columns.empty() ? of_row : of_row * factors.columns[c];
  }
  scratch = std::move(result);
  return scratch;
}

}  // namespace tessera::stages
