#include "foundation/codecs/changed_weights.h"

#include <cassert>

#include "foundation/codecs/decode_finite.h"

namespace tessera::codecs {

ChangedWeights::ChangedWeights(const WeightSource& base)
    : base_(base), tensors_(base.tensors().begin(), base.tensors().end()), changes_(tensors_.size()) {}

void ChangedWeights::announce_change(std::size_t tensor) {
  assert(is_weight_type(base_.tensors()[tensor].type));
  tensors_[tensor].type = ElementType::F32;
  changes_[tensor] = true;
}

std::span<const std::byte> ChangedWeights::stored_rows(std::size_t tensor, RowRange rows,
                                                       std::vector<std::byte>& scratch) const {
  const auto stored = base_.stored_rows(tensor, rows, scratch);
  if (!changes_[tensor]) return stored;
  const std::uint64_t columns = tensors_[tensor].columns();
  std::vector<std::byte> result(static_cast<std::size_t>(rows.count * columns) * sizeof(float));
  const std::span weights(reinterpret_cast<float*>(result.data()), result.size() / sizeof(float));
  decode_finite(base_, tensor, rows.first * columns, stored, weights);
  change(tensor, rows, weights);
  scratch = std::move(result);
  return scratch;
}

}  // namespace tessera::codecs
