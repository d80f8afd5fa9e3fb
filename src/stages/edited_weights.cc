#include "stages/edited_weights.h"

#include <algorithm>
#include <cassert>
#include <tuple>

#include "foundation/codecs/decode_finite.h"

namespace tessera::stages {
namespace {

std::tuple<std::size_t, std::uint64_t> row_of_edit(const WeightEdit& edit) { return {edit.tensor, edit.row}; }

}  // namespace

EditedWeights::EditedWeights(const WeightSource& base, std::vector<WeightEdit> edits)
    : base_(base), tensors_(base.tensors().begin(), base.tensors().end()), edits_(std::move(edits)) {
  for (const auto& edit : edits_) {
    auto& tensor = tensors_.at(edit.tensor);
    assert(is_weight_type(tensor.type) && edit.row < tensor.rows() && edit.column < tensor.columns());
    tensor.type = ElementType::F32;
  }
  std::ranges::stable_sort(edits_, {}, row_of_edit);
}

std::span<const std::byte> EditedWeights::stored_rows(std::size_t tensor, RowRange rows,
                                                      std::vector<std::byte>& scratch) const {
  const auto stored = base_.stored_rows(tensor, rows, scratch);
  if (!std::ranges::binary_search(edits_, tensor, {}, &WeightEdit::tensor)) return stored;
  const std::uint64_t columns = tensors_[tensor].columns();
  std::vector<std::byte> result(static_cast<std::size_t>(rows.count * columns) * sizeof(float));
  const std::span weights(reinterpret_cast<float*>(result.data()), result.size() / sizeof(float));
  codecs::decode_finite(base_, tensor, rows.first * columns, stored, weights);
  const auto end =
      std::ranges::lower_bound(edits_, std::tuple(tensor, rows.first + rows.count), {}, row_of_edit);
  for (auto edit = std::ranges::lower_bound(edits_, std::tuple(tensor, rows.first), {}, row_of_edit);
       edit != end; ++edit) {
    weights[(edit->row - rows.first) * columns + edit->column] = edit->value;
  }
  scratch = std::move(result);
  return scratch;
}

}  // namespace tessera::stages
