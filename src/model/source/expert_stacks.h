// The matrices of a layer's experts, which Hugging Face folders store one by one, as the tensors of GGUF that
// stack them: [experts, rows, columns].
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "foundation/tensor/weight_source.h"
#include "model/architecture/model_config.h"
#include "model/architecture/tensor_name.h"

namespace tessera::model {

struct ExpertStack {
  TensorDescriptor descriptor;       ///< under its GGUF name
  std::vector<std::size_t> experts;  ///< tensors of the source, expert by expert
};

/// Collects experts, layer by layer, in whatever order they come.
class ExpertStacks {
 public:
  /// Both outlive it.
  ExpertStacks(const WeightSource& source, const ModelConfig& config);

  /// Takes `tensor` of the source, which `rule`, one of the family's per expert, describes. Gives the stacks
  /// of the layer when it was the last of their experts, in the order of the family's table (that of
  /// llama.cpp's converter); none before. Throws BadFileError naming an expert of another type than the
  /// first.
  std::vector<ExpertStack> add(const TensorRule& rule, const NameIndices& indices, std::size_t tensor);

 private:
  using Layer = std::map<std::pair<const TensorRule*, std::uint32_t>, std::size_t>;

  ExpertStack stack(const TensorRule& rule, const NameIndices& indices, const Layer& layer) const;

  const WeightSource& source_;
  const ModelConfig& config_;
  std::vector<const TensorRule*> rules_;
  std::map<std::uint32_t, Layer> layers_;
};

}  // namespace tessera::model
