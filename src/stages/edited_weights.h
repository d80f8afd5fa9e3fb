// A model of which some scalars have other values: with super weights removed, or put back.
//
// Values are exchanged as rows are read, so nothing is held but the edits. A tensor with edits appears as
// F32, whatever it is stored as: every value is exact there, and no reader can mistake it for blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "foundation/tensor/weight_source.h"

namespace tessera::stages {

/// A place and the value it is to have.
struct WeightEdit {
  std::size_t tensor = 0;  ///< as numbered in the source
  std::uint64_t row = 0;   ///< experts count as further rows
  std::uint64_t column = 0;
  float value = 0;
};

class EditedWeights final : public WeightSource {
 public:
  /// `base` outlives it. The edits lie inside tensors that hold weights; of two at one place the later
  /// counts.
  EditedWeights(const WeightSource& base, std::vector<WeightEdit> edits);

  const std::string& name() const override { return base_.name(); }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  /// Throws BadFileError naming a NaN or infinity in a tensor with edits.
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override;
  void discard(std::size_t tensor, RowRange rows) const override { base_.discard(tensor, rows); }
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return base_.find(tensor_name);
  }

 private:
  const WeightSource& base_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<WeightEdit> edits_;  ///< by tensor and row
};

}  // namespace tessera::stages
