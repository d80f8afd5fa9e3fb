// The run behind `tessera evaluate`: how well a model predicts a text and, with a quantized model beside it,
// what quantization changed.
//
// Both models walk the same windows side by side, layer by layer; after each layer the weights and the
// residual streams are compared, at the end the predictions.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/evaluation.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/kernels/matrix.h"
#include "model/source/open_model.h"
#include "model/text/corpus.h"
#include "pipeline/coherence.h"

namespace tessera::pipeline {

struct EvaluateSettings {
  std::filesystem::path model;                                    ///< GGUF file or Hugging Face folder
  std::optional<std::filesystem::path> quantized = std::nullopt;  ///< likewise
  /// Exact weights of the quantized model, or of the only one, which are put back (artifacts/sidecar.h).
  std::optional<std::filesystem::path> sidecar = std::nullopt;
  model::OpenSettings open = {};
  model::CorpusSettings corpus = {};
  /// Of the operands of matrix products; empty: the fastest of this machine. bf16 adds a divergence of
  /// about 3e-5 nats per token of its own to the comparison (docs/evaluate.md), which f32 does not.
  std::optional<kernels::Precision> precision = std::nullopt;
  int threads = 0;                                      ///< 0: all cores
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;  ///< hidden states beyond this go to a scratch file
  std::filesystem::path scratch_folder = {};
  /// Compare generated texts as well, for which a quantized model is needed.
  std::optional<CoherenceSettings> coherence = std::nullopt;
};

/// A model that is open already.
struct EvaluationSubject {
  std::string name;  ///< in messages and reports
  const model::OpenedModel& model;
  std::vector<std::filesystem::path> files = {};  ///< whose sizes count
  /// As stored, where `model` shows other types; nullptr: as it shows them.
  const WeightSource* stored = nullptr;
};

/// Opens a model as evaluate() does: W8A8 linears are kept, so that figures are those of integer arithmetic.
model::OpenedModel open_for_evaluation(const std::filesystem::path& path, model::OpenSettings settings);

/// Throws UsageError, BadFileError (also when the two models have different vocabularies), IoError or
/// InterruptedError.
Evaluation evaluate(const EvaluateSettings& settings, ProgressObserver& progress, const StopFlag& stop);

/// The same of models that are open; `quantized` may be nullptr. What `settings` says of models does not
/// count.
Evaluation evaluate(const EvaluationSubject& original, const EvaluationSubject* quantized,
                    const EvaluateSettings& settings, ProgressObserver& progress, const StopFlag& stop);

}  // namespace tessera::pipeline
