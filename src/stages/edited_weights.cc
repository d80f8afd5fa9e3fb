#include "stages/edited_weights.h"

#include <algorithm>
#include <cassert>
#include <tuple>

namespace tessera::stages {
namespace {

std::tuple<std::size_t, std::uint64_t> row_of_edit(const WeightEdit& edit) { return {edit.tensor, edit.row}; }

}  // namespace

EditedWeights::EditedWeights(const WeightSource& base, std::vector<WeightEdit> edits)
    : ChangedWeights(base), edits_(std::move(edits)) {
  for (const auto& edit : edits_) {
    assert(edit.row < tensors()[edit.tensor].rows());
    assert(edit.column < tensors()[edit.tensor].columns());
    announce_change(edit.tensor);
  }
  std::ranges::stable_sort(edits_, {}, row_of_edit);
}

void EditedWeights::change(std::size_t tensor, RowRange rows, std::span<float> weights) const {
  const std::uint64_t columns = tensors()[tensor].columns();
  const auto end =
      std::ranges::lower_bound(edits_, std::tuple(tensor, rows.first + rows.count), {}, row_of_edit);
  for (auto edit = std::ranges::lower_bound(edits_, std::tuple(tensor, rows.first), {}, row_of_edit);
       edit != end; ++edit) {
    weights[(edit->row - rows.first) * columns + edit->column] = edit->value;
  }
}

}  // namespace tessera::stages
