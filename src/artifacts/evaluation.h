// What an evaluation found: how well a model predicts a text and, with a quantized model beside it, what
// quantization changed, from single tensors to the predictions. docs/evaluation-report.schema.json describes
// its JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/coherence.h"
#include "artifacts/encoding_error.h"
#include "artifacts/token_score.h"
#include "foundation/kernels/squared_error.h"
#include "foundation/tensor/element_type.h"

namespace tessera {

struct ModelSize {
  std::uint64_t weights = 0;
  std::uint64_t tensor_bytes = 0;  ///< of all stored tensors, scales included
  std::uint64_t file_bytes = 0;    ///< of all the model's files

  /// Bits of the stored tensors per weight.
  double bits_per_weight() const;
};

struct EvaluatedModel {
  std::string path;
  ModelSize size;
  Estimate perplexity;
};

/// The error of one tensor's weights in the quantized model, against the original's.
struct TensorError {
  std::string name;
  ElementType original_type = ElementType::F16;
  ElementType quantized_type = ElementType::F16;
  std::uint64_t weights = 0;
  EncodingError error;
  /// Sum over all weights of the importance of their column: rows * sum w[c]. 0 without importance.
  double importance_total = 0;

  /// Mean of (x - y)^2.
  double mean_squared_error() const;
  /// Mean of (x - y)^2 weighted with the importance; empty without importance.
  std::optional<double> weighted_mean_squared_error() const;
};

struct LayerErrors {
  std::size_t layer = 0;
  std::vector<TensorError> tensors;
  /// Of the residual stream after this layer, over all tokens: what this layer and those before it have done.
  /// Filled window by window in order, so that it does not depend on the threads.
  kernels::ErrorSums output;

  /// Squared error as a share of the energy of the original's output.
  double relative_output_error() const;
};

struct Evaluation {
  std::vector<std::string> datasets;
  std::size_t context = 0;  ///< tokens of a window
  std::size_t windows = 0;
  std::uint64_t scored_tokens = 0;
  EvaluatedModel original;
  // What follows is there when a quantized model was compared.
  std::optional<EvaluatedModel> quantized;
  std::optional<PredictionChange> change;
  std::vector<LayerErrors> layers;
  std::vector<TensorError> other_tensors;  ///< those outside of the layers: embedding, output
  std::optional<Coherence> coherence;      ///< where texts were compared
  /// Share of the model's super weights that are protected, in [0, 1]; empty: none were looked for.
  std::optional<double> super_weight_coverage = std::nullopt;
};

/// The report for machines. Figures that do not apply are null.
nlohmann::json to_json(const Evaluation& evaluation);

}  // namespace tessera
