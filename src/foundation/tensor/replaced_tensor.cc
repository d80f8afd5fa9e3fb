#include "foundation/tensor/replaced_tensor.h"

#include <cassert>

namespace tessera {

ReplacedTensor::ReplacedTensor(const WeightSource& base, std::size_t tensor, ElementType type,
                               std::vector<std::byte> blocks)
    : base_(base),
      replaced_(tensor),
      tensors_(base.tensors().begin(), base.tensors().end()),
      blocks_(std::move(blocks)) {
  tensors_[tensor].type = type;
  assert(blocks_.size() == tensors_[tensor].bytes());
}

std::span<const std::byte> ReplacedTensor::stored_rows(std::size_t tensor, RowRange rows,
                                                       std::vector<std::byte>& scratch) const {
  if (tensor != replaced_) return base_.stored_rows(tensor, rows, scratch);
  const std::uint64_t row = row_bytes(tensors_[tensor].type, tensors_[tensor].columns());
  return std::span(blocks_).subspan(rows.first * row, rows.count * row);
}

void ReplacedTensor::discard(std::size_t tensor, RowRange rows) const {
  if (tensor != replaced_) base_.discard(tensor, rows);
}

}  // namespace tessera
