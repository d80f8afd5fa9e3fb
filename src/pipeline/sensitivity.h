// How much each tensor's precision matters to a model's predictions, by one of three methods
// (docs/dynamic.md): from the model and texts to predicted losses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "artifacts/calibration_statistics.h"
#include "artifacts/importance_matrix.h"
#include "artifacts/sensitivity.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/codecs/encoder.h"
#include "foundation/kernels/matrix.h"
#include "model/source/open_model.h"
#include "model/text/corpus.h"

namespace tessera::pipeline {

struct SensitivitySettings {
  std::filesystem::path model;  ///< as given, for hashes and messages
  model::OpenSettings open = {};
  model::CorpusSettings corpus = {};  ///< the windows of the walk
  /// Of the operands of matrix products; empty: the fastest of this machine.
  std::optional<kernels::Precision> precision = std::nullopt;
  int threads = 0;                                      ///< 0: all cores
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;  ///< hidden states beyond this go to a scratch file
  std::filesystem::path scratch_folder = {};
  /// Folder in which finished layers (or probes) are kept, each run's in a folder of its own; empty: none
  /// are.
  std::optional<std::filesystem::path> checkpoint = std::nullopt;
  bool use_cache = true;
  std::uint64_t seed = 0;  ///< of sampled labels and rows
  codecs::EncoderKind encoder = codecs::EncoderKind::tessera;
};

/// What a tensor may be stored as.
struct TensorCandidates {
  std::size_t tensor = 0;                        ///< as numbered in the WeightSource
  std::vector<ElementType> types;                ///< each fits the rows; in order of bits per weight
  const TensorImportance* importance = nullptr;  ///< for the encoder; null: none
};

/// Sums over tokens of the diagonal of the Fisher information of the model's own predictions, by column and
/// by row, of every matrix of the model (method fisher of docs/dynamic.md). Kept in the cache. Throws
/// UsageError, BadFileError (also for a model that the forward pass does not know), IoError,
/// InterruptedError.
CalibrationStatistics fisher_marginals(const model::OpenedModel& model, const SensitivitySettings& settings,
                                       ProgressObserver& progress, const StopFlag& stop);

/// Loss of a tensor in a type: half the mean over tokens of the Fisher information that the error meets,
/// sampled rows standing for all. Tensors that `marginals` lacks have no loss. Throws BadFileError,
/// InterruptedError.
Sensitivity predict_losses(const WeightSource& source, std::span<const TensorCandidates> candidates,
                           const CalibrationStatistics& marginals, const SensitivitySettings& settings,
                           ProgressObserver& progress, const StopFlag& stop);

/// Loss of every tensor alone at a probe type (measured_loss.h), and in its other candidates in proportion to
/// their sampled errors. Throws as fisher_marginals.
Sensitivity measure_sensitivity(const model::OpenedModel& model, std::span<const TensorCandidates> candidates,
                                const SensitivitySettings& settings, ProgressObserver& progress,
                                const StopFlag& stop);

}  // namespace tessera::pipeline
