// A model of which some tensors have other weights than the one it stands before.
//
// Weights are changed as rows are read, so nothing is held but what says how. A tensor that changes appears
// as F32, whatever it is stored as: every value is exact there, and no reader can mistake it for blocks.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "foundation/tensor/weight_source.h"

namespace tessera::codecs {

class ChangedWeights : public WeightSource {
 public:
  const std::string& name() const final { return base_.name(); }
  std::span<const TensorDescriptor> tensors() const final { return tensors_; }
  /// Throws BadFileError naming a NaN or infinity in a tensor that changes.
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const final;
  void discard(std::size_t tensor, RowRange rows) const final { base_.discard(tensor, rows); }
  std::optional<std::size_t> find(std::string_view tensor_name) const final {
    return base_.find(tensor_name);
  }

 protected:
  /// `base` outlives it.
  explicit ChangedWeights(const WeightSource& base);

  /// Says that this tensor, which holds weights, changes.
  void announce_change(std::size_t tensor);

  /// Changes `weights`, [rows, columns], of a tensor that was announced. Called from several threads.
  virtual void change(std::size_t tensor, RowRange rows, std::span<float> weights) const = 0;

 private:
  const WeightSource& base_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<bool> changes_;  ///< by tensor
};

}  // namespace tessera::codecs
