// A model with its linears in 8 bits: what W8A8 stores, made as it is read.
//
// A matrix "STEM.weight" of a layer becomes int8 codes with one scale per output channel, which stands in a
// tensor of its own behind it; static activations add the scale of the input:
//
//   STEM.weight        I8  [out, in]   code = round-to-nearest-even(w / scale), |code| <= 127
//   STEM.weight_scale  F32 [out]       max |w| of the row / 127, rounded up to the type that is written; 1
//   for zeros STEM.input_scale   F32 [1]         of all tokens
//
// The scale is rounded before the codes are made, so what is stored on disk decodes to what is tried here.
// All other tensors, the output matrix among them, stay as they are.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "foundation/tensor/tensor_index.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::stages {

struct Int8Settings {
  /// In which scales are stored: F32, F16 or BF16. The tensors here are F32 with such values.
  ElementType scale_type = ElementType::F32;
  /// Static activations: the largest magnitude of the input, by the GGUF name of the weight that reads it;
  /// all matrices are in it. Empty: activations are scaled token by token, at run time.
  std::map<std::string, float> input_maxima = {};
};

class RoundedToInt8 final : public WeightSource {
 public:
  /// `base` outlives it. Throws UsageError when a matrix has no input maximum, or 0, though others have one.
  RoundedToInt8(const WeightSource& base, const Int8Settings& settings);

  const std::string& name() const override { return base_.name(); }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override;
  void discard(std::size_t tensor, RowRange rows) const override;
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return index_.find(tensor_name);
  }

 private:
  enum class Part { original, codes, weight_scales, input_scale };
  struct Origin {
    std::size_t tensor = 0;  ///< of the base
    Part part = Part::original;
    float input_scale = 0;
  };

  void add(TensorDescriptor descriptor, Origin origin);
  float rounded(float scale) const;
  /// Reads rows of a matrix as floats, in pieces, and hands each with its scale to `take`.
  template <class Take>
  void for_each_row(std::size_t matrix, RowRange rows, std::vector<std::byte>& scratch,
                    const Take& take) const;

  const WeightSource& base_;
  ElementType scale_type_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<Origin> origins_;  ///< by tensor
  TensorIndex index_;
};

/// Whether W8A8 puts the tensor of this GGUF name and shape into 8 bits: the matrices of the layers.
bool is_int8_linear(const TensorDescriptor& tensor);

}  // namespace tessera::stages
