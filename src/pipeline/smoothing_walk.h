// The walk behind smoothing: all windows through all layers, once. Before the linears that read a fold's
// channels, the columns' magnitudes and some rows are taken, and the fold is decided upon at once.
//
// The walk goes through the model as it is: smoothing changes nothing that a later layer reads. After every
// layer (or several, when they are quick) a checkpoint holds the hidden states ("hidden") and the folds so
// far ("plan"); a run that goes on from there ends with the same plan.
#pragma once

#include <chrono>
#include <span>

#include "artifacts/smoothing_config.h"
#include "artifacts/smoothing_plan.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "model/architecture/smoothing_fold.h"
#include "pipeline/text_walk_job.h"

namespace tessera::pipeline {

struct SmoothingWalkSettings {
  SmoothingConfig config = {};
  double percentile = 100;          ///< of the columns' magnitudes (gather_magnitudes.h)
  bool static_activations = false;  ///< in trials: one scale for all tokens
  /// Least time between two checkpoints: a killed run repeats at most this much work and a layer.
  std::chrono::milliseconds checkpoint_interval = std::chrono::seconds(5);
};

/// Results are looked for in, and kept by, the cache where `job` wants that. Throws UsageError, BadFileError
/// (also for an architecture without known folds, or a model that lacks a carrier), IoError,
/// InterruptedError.
SmoothingPlan plan_smoothing(const TextWalkJob& job, const SmoothingWalkSettings& settings,
                             ProgressObserver& progress, const StopFlag& stop);

/// The folds of this model; sizes of its heads. Throws BadFileError as above.
std::span<const model::FoldRule> folds_of(const TextWalkJob& job);
model::HeadShape heads_of(const model::OpenedModel& model);

}  // namespace tessera::pipeline
