// How much each tensor's precision matters to a model's predictions, by one of three methods
// (docs/dynamic.md): from the model and texts to predicted losses.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "artifacts/calibration_statistics.h"
#include "artifacts/importance_matrix.h"
#include "artifacts/sensitivity.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "pipeline/text_walk_job.h"

namespace tessera::pipeline {

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
CalibrationStatistics fisher_marginals(const TextWalkJob& job, ProgressObserver& progress,
                                       const StopFlag& stop);

/// Loss of a tensor in a type: half the mean over tokens of the Fisher information that the error meets,
/// sampled rows standing for all. Tensors that `marginals` lacks have no loss. Throws BadFileError,
/// InterruptedError.
Sensitivity predict_losses(const TextWalkJob& job, std::span<const TensorCandidates> candidates,
                           const CalibrationStatistics& marginals, ProgressObserver& progress,
                           const StopFlag& stop);

/// Loss of every tensor alone at a probe type over `measured_samples` windows (measured_loss.h), and in its
/// other candidates in proportion to their sampled errors. Throws as fisher_marginals.
Sensitivity measure_sensitivity(const TextWalkJob& job, std::span<const TensorCandidates> candidates,
                                ProgressObserver& progress, const StopFlag& stop);

}  // namespace tessera::pipeline
