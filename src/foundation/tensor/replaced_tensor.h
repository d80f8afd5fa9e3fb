// A WeightSource that differs from another in one tensor: what a model would be with that tensor alone
// quantized.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "foundation/tensor/weight_source.h"

namespace tessera {

class ReplacedTensor final : public WeightSource {
 public:
  /// `base` outlives it. `blocks` are all rows of the tensor in `type`, which fits its rows.
  ReplacedTensor(const WeightSource& base, std::size_t tensor, ElementType type,
                 std::vector<std::byte> blocks);

  const std::string& name() const override { return base_.name(); }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override;
  void discard(std::size_t tensor, RowRange rows) const override;
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return base_.find(tensor_name);
  }

 private:
  const WeightSource& base_;
  std::size_t replaced_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<std::byte> blocks_;
};

}  // namespace tessera
