// A model of which some scalars have other values: with super weights removed, or put back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "foundation/codecs/changed_weights.h"

namespace tessera::stages {

/// A place and the value it is to have.
struct WeightEdit {
  std::size_t tensor = 0;  ///< as numbered in the source
  std::uint64_t row = 0;   ///< experts count as further rows
  std::uint64_t column = 0;
  float value = 0;
};

class EditedWeights final : public codecs::ChangedWeights {
 public:
  /// `base` outlives it. The edits lie inside tensors that hold weights; of two at one place the later
  /// counts.
  EditedWeights(const WeightSource& base, std::vector<WeightEdit> edits);

 private:
  void change(std::size_t tensor, RowRange rows, std::span<float> weights) const override;

  std::vector<WeightEdit> edits_;  ///< by tensor and row
};

}  // namespace tessera::stages
