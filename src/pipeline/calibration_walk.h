// The walk behind an importance matrix: all windows through all layers, and for the methods that need
// gradients back again, with a checkpoint after every layer.
//
// Steps, as checkpoints count them: activation has one per layer. With gradients there is one per layer on
// the way forward, one for the output, and one per layer on the way back. After a step the checkpoint holds
// the hidden states that enter the layers still to be walked ("hidden-LAYER"), on the way back the gradients
// at the boundary reached ("gradients"), and the statistics so far. What enters the first layer is embedded
// again.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "artifacts/calibration_statistics.h"
#include "foundation/base/stop_flag.h"
#include "foundation/formats/imatrix/importance_method.h"
#include "model/forward/forward_pass.h"
#include "model/forward/output_backward.h"
#include "pipeline/layer_progress.h"
#include "pipeline/walk_checkpoint.h"

namespace tessera::pipeline {

/// Takes the Fisher diagonal of a weight tensor, [out * in], the mean over tokens.
using FisherSink = std::function<void(std::size_t tensor, std::span<const float> diagonal)>;

struct WalkSettings {
  imatrix::ImportanceMethod method = imatrix::ImportanceMethod::activation;
  bool process_output = false;  ///< statistics for the output matrix, too
  /// Set: per-weight Fisher diagonals are formed (method fisher). They are kept by checkpoints, and after a
  /// resumed walk all of them are handed over all the same.
  FisherSink fisher = {};
  /// Method fisher: row sums as well, and the token embedding as a matrix that tokens pick rows of: what
  /// stages/predict_loss.h needs. Goes without `fisher`.
  bool marginals = false;
  model::LabelSettings labels = {};  ///< of the methods that need gradients
};

/// Counts the walk's work.
void add_walk(const model::ForwardPass& pass, const WalkSettings& settings, LayerProgress& progress);

/// Throws BadFileError, IoError or InterruptedError; what the last finished layer left is in the checkpoint.
CalibrationStatistics walk(model::ForwardPass& pass, const WalkSettings& settings, WalkCheckpoint& checkpoint,
                           LayerProgress& progress, const StopFlag& stop);

}  // namespace tessera::pipeline
