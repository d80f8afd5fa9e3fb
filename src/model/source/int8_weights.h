// W8A8 linears as a WeightSource has them, and a source of theirs seen as floats.
//
// A W8A8 linear is a tensor STEM.weight of type I8, [out, in], with STEM.weight_scale, F32 [out]:
// w [r, c] = code [r, c] * scale [r]. Where its inputs have a static scale there is STEM.input_scale, F32
// [1], too; without, each token has its own.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "foundation/tensor/tensor_index.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::model {

inline constexpr std::string_view kWeightScale = "weight_scale";
inline constexpr std::string_view kInputScale = "input_scale";

/// Whether a tensor of this name holds the scales of another, and so no weights.
bool is_scale_name(std::string_view tensor_name);

struct Int8Scales {
  std::vector<float> rows;     ///< [out], positive
  std::optional<float> input;  ///< positive; empty: each token has its own
};

/// The scales of the I8 tensor `tensor`. Throws BadFileError: missing, of a wrong type or shape, not
/// positive, not finite.
Int8Scales read_int8_scales(const WeightSource& source, std::size_t tensor);

/// Another source with its W8A8 linears decoded to F32 and their scales left out: for what knows floats
/// alone.
class DecodedInt8Weights final : public WeightSource {
 public:
  /// `base` outlives it. Throws what read_int8_scales throws.
  explicit DecodedInt8Weights(const WeightSource& base);
  explicit DecodedInt8Weights(std::unique_ptr<WeightSource> base);

  const std::string& name() const override { return base_.name(); }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return index_.find(tensor_name);
  }
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override;
  void discard(std::size_t tensor, RowRange rows) const override {
    base_.discard(origins_[tensor].tensor, rows);
  }

 private:
  struct Origin {
    std::size_t tensor;              ///< of base_
    std::vector<float> scales = {};  ///< of its rows; empty: it holds floats
  };

  std::unique_ptr<WeightSource> owned_;
  const WeightSource& base_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<Origin> origins_;  ///< by tensor
  TensorIndex index_;
};

}  // namespace tessera::model
